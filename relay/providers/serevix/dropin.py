"""Relay in the place of Serevix's gateway, and so of Black Forest Labs, whose shape that has.

- A submission with a `webhook_url` is answered with everything that either of Black Forest Labs' two documented answers holds: `status`
  and `webhook_url` for those who wait for the webhook, `polling_url` for those who follow it whatever they asked for, as clients of the
  gateway do, whose page shows no other answer.
- `polling_url` holds the id under the name that the gateway uses, and what opens it without a key beside it: clients were seen to add
  the id once more, or to build the link from the id and send their key.
- The paths are there without the gateway's `/flux`, too: as Black Forest Labs has them, for its clients where they are given a host name
  and keep no path of it.
- Fields that the page does not name (it refers to Black Forest Labs for them) go on untouched. Where another provider makes the
  picture, those that Relay has a name for are given under that name instead.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response

from relay.errors import NotFound
from relay.model import Scope
from relay.ports import Parameter, TaskRequest
from relay.providers.dropin.answer import json_answer
from relay.providers.dropin.dialect import Endpoint
from relay.providers.dropin.family import NAMES, has_shape, read_request
from relay.providers.dropin.order import Order
from relay.providers.dropin.visit import Visit
from relay.providers.parameters import FLAG
from relay.providers.refusal import Refused, Why
from relay.providers.serevix.rendering import missing_id, refusal, result_body, unknown_task
from relay.providers.serevix.wire import RESULT_PATH, SUBMIT_PATH, TABLE, Accepted, Status

_GATEWAY: Final = "/flux"
_CREDITS_PATH: Final = SUBMIT_PATH + "credits"
"""Black Forest Labs', not the gateway's: it is not there, though a model of this name would be."""
_NUMBER: Final = Parameter(type="number")
_FAMILY: Final = msgspec.structs.replace(
    TABLE,
    models={TABLE.default: {
        **TABLE.models[TABLE.default], "aspect_ratio": Parameter(type="string"), "safety_tolerance": _NUMBER, "image_strength": _NUMBER,
        "raw": FLAG, "steps": _NUMBER, "guidance": _NUMBER, "interval": _NUMBER,
    }},
    names={**TABLE.names, "image_strength": ("image_prompt_strength",)},
)
"""With what Black Forest Labs' models take beside the page's fields."""
_FORMAT: Final = "jpeg"
_SIZE: Final[Mapping[str, Any]] = {"width": 1024, "height": 768}
_SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "flux-pro-1.1": _SIZE, "flux-pro": _SIZE, "flux-dev": _SIZE, "flux-pro-1.1-ultra": {"aspect_ratio": "16:9"},
}
"""Of a picture for which none is asked for, by model. As the format, it is what Black Forest Labs documents; the page has the same in its
examples."""


class SerevixDropin:
    """Serevix, served."""

    name = TABLE.provider
    names: Final = NAMES

    def endpoints(self) -> Sequence[Endpoint]:
        return [endpoint for prefix in ("", _GATEWAY) for endpoint in (
            Endpoint("POST", SUBMIT_PATH.removeprefix(prefix) + "{model}", self._submit),
            Endpoint("GET", RESULT_PATH.removeprefix(prefix), self._result, needs=None),
            Endpoint("GET", _CREDITS_PATH.removeprefix(prefix), _not_there, needs=None),
        )]

    def refuse(self, refused: Refused) -> Response:
        status, body = refusal(refused)
        return json_answer(body, status)

    async def _submit(self, visit: Visit) -> Response:
        order = read_order(await visit.json(), visit.path["model"], is_via=visit.is_via)
        task = await visit.submit(order)
        webhook = order.request.callback_url
        return json_answer(Accepted(
            id=task.id, polling_url=visit.url(RESULT_PATH, task.id, id=task.id),
            status=Status.PENDING if webhook else None, webhook_url=webhook,
        ))

    async def _result(self, visit: Visit) -> Response:
        task_id = visit.request.query_params.get("id")
        if not task_id:
            await visit.caller(Scope.READ)
            status, body = missing_id()
            return json_answer(body, status)
        try:
            task = (await visit.find(task_id)).task
        except NotFound:
            return json_answer(unknown_task(task_id), 404)
        return json_answer(result_body(task, visit.links(task), task_id=task.id))


async def _not_there(_visit: Visit) -> Response:
    raise Refused(Why.PATH, "Not Found")


def read_order(body: Mapping[str, Any], model: str, *, is_via: bool) -> Order:
    """A submission. A `model` in the body says nothing: the path names it. Raises Invalid."""
    request = _without_echo(read_request(body, _FAMILY, model=model)) if is_via else read_request(body, TABLE, model=model)
    shape = {} if has_shape(request) else _SHAPES.get(model, {})
    return Order(request=request, defaults={"output_format": _FORMAT, **shape})


def _without_echo(request: TaskRequest) -> TaskRequest:
    """Clients were seen to give a size, and beside it the ratio that it has anyway."""
    width, height = request.width, request.height
    if not isinstance(width, int) or not isinstance(height, int) or not width or not height:
        return request
    common = math.gcd(width, height)
    is_echo = request.aspect_ratio == f"{width // common}:{height // common}"
    return msgspec.structs.replace(request, aspect_ratio=None) if is_echo else request
