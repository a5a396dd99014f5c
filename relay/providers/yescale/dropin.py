"""Relay in the place of YEScale, and so of every server of OpenAI's image format: the connection is held until the pictures are there.

- `response_format` is Relay's to serve, whatever the maker sends: `url` is the link where the picture opens, `b64_json` its bytes.
- Where another provider makes the pictures, fields that sister gateways of YEScale have and Relay has a name for (a seed, a ratio) are
  given to it under that name. What says nothing about the picture (`user`), or nothing but what OpenAI's documents say for its absence,
  is left away; the rest is refused.
- Nobody in this format calls back. The field `webhook_url`, or the header X-Relay-Callback, asks Relay to, with the answer as body.
- `stream` and `partial_images` are refused: there is nothing to show before the end.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from relay.errors import FieldProblem, Invalid, NotFound
from relay.model import Scope, Task
from relay.ports import Parameter, TaskRequest
from relay.providers.dropin.answer import json_answer
from relay.providers.dropin.body import read_json
from relay.providers.dropin.dialect import Endpoint
from relay.providers.dropin.order import Order
from relay.providers.dropin.visit import Visit
from relay.providers.parameters import FIELDS
from relay.providers.refusal import Refused
from relay.providers.value import field_problems
from relay.providers.yescale import rendering, wire

_TEXT: Final = Parameter(type="string")
_READ: Final = {
    "prompt": wire.PARAMETERS["prompt"], "model": _TEXT, "n": wire.PARAMETERS["n"], "size": _TEXT,
    "response_format": wire.OPTIONS["response_format"], "webhook_url": _TEXT, "webhook_secret": _TEXT,
}
_BASE64: Final = "b64_json"
_UNSERVED: Final = ("stream", "partial_images")
_USUAL: Final = {"quality": ("standard", "auto"), "style": ("vivid",), "background": ("auto",), "moderation": ("auto",)}
"""What is said here says nothing: OpenAI's documents promise the same for the field's absence."""
_MODELS_PATH: Final = "/v1/models"
_MADE_AT: Final = int(datetime(2024, 10, 1, tzinfo=UTC).timestamp())


class YescaleDropin:
    """YEScale's wire format, served. The contract of every method is that of Dialect."""

    name: str = wire.TABLE.provider
    names: Mapping[str, str] = {
        "width": "size", "height": "size", "callback_url": "webhook_url", "callback_secret": "webhook_secret",
    }

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("POST", wire.PATH, _generate),
            Endpoint("GET", _MODELS_PATH, _list_models, Scope.READ),
            Endpoint("GET", f"{_MODELS_PATH}/{{model}}", _show_model, Scope.READ),
        ]

    def refuse(self, refused: Refused) -> Response:
        status, body = rendering.refusal(refused)
        return json_answer(body, status)


async def _generate(visit: Visit) -> Response:
    body = await read_json(visit)
    task = await visit.hold(read_order(body, is_via=visit.is_via))
    items = await _inlined(visit, task) if body.get("response_format") == _BASE64 else [wire.Item(url=url) for url in visit.links(task)]
    return json_answer(rendering.answer_of(task, items))


async def _inlined(visit: Visit, task: Task) -> list[wire.Item]:
    return [wire.Item(b64_json=base64.b64encode(picture.data or b"").decode()) for picture in await visit.pictures(task)]


async def _list_models(_visit: Visit) -> Response:
    return json_answer({"object": "list", "data": [_model(name) for name in wire.MODELS]})


async def _show_model(visit: Visit) -> Response:
    if visit.path["model"] not in wire.MODELS:
        raise NotFound(f"The model {visit.path['model'][:100]!r} does not exist.")
    return json_answer(_model(visit.path["model"]))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _MADE_AT, "owned_by": "black-forest-labs"}


def read_order(body: Mapping[str, Any], *, is_via: bool) -> Order:
    """A request for pictures. Raises Invalid."""
    given = {name: value for name, value in body.items() if value is not None}
    problems = [*field_problems(given, _READ), *_unserved(given)]
    size = _sides(given.get("size"))
    if size is None:
        problems.append(FieldProblem("size", f"must be one of {', '.join(wire.SIZES)}"))
    if problems:
        raise Invalid(errors=problems)
    options = {name: value for name, value in given.items() if name not in (*_READ, *_UNSERVED)}
    fields = {name: options.pop(name) for name in FIELDS if is_via and name in options and name not in (size or {})}
    request = TaskRequest(
        provider=wire.TABLE.provider, prompt=given["prompt"], model=given.get("model"), n=given.get("n"), **(size or {}), **fields,
        options=options or None, callback_url=given.get("webhook_url"), callback_secret=given.get("webhook_secret"))
    native = {"response_format": given["response_format"]} if "response_format" in given else {}
    return Order(request=request, native=native, defaults=_defaults(request), idle=_idle(options))


def _unserved(given: Mapping[str, Any]) -> list[FieldProblem]:
    return [FieldProblem(name, "is not served here: the answer comes whole, when the pictures are there")
            for name in _UNSERVED if given.get(name)]


def _sides(size: Any) -> dict[str, Any] | None:  # noqa: ANN401 -- any JSON
    """Nothing where no size is given; None where it is none. Whether it is one of the list is for its maker to say."""
    if size is None:
        return {}
    across, _, down = size.partition("x") if isinstance(size, str) else ("", "", "")
    if not (across.isdecimal() and down.isdecimal() and len(size) <= 11):
        return None
    return {"width": int(across), "height": int(down)}


def _defaults(request: TaskRequest) -> dict[str, Any]:
    return {} if request.width or request.aspect_ratio else _sides(wire.DEFAULT_SIZE) or {}


def _idle(options: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({"user", *(name for name, values in _USUAL.items() if options.get(name) in values)})
