"""Relay in the place of Segmind: version 1, whose answer is the picture, and version 2, which the official SDK speaks.

Decisions
- Width and height count only with the ratio `custom`, as the page says. Else they are passed on as they are, and mean nothing.
- Version 2 answers a submission at once, and tells in the status how the work ended, failures under HTTP 422. Only what Segmind
  refuses before the work (credits, rate, fields) is refused there, as far as it is known within a second.
- A request id is the task's id. The three links open without a key; asked by an id alone, they want one.
- Segmind calls nobody back for a model. The field `webhook_url` asks Relay to, with the result as version 2 has it, and with
  `webhook_secret` as `x-webhook-secret`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response

from relay.errors import Invalid, Malformed
from relay.model import Task, TaskStatus
from relay.ports import Parameter, TaskRequest
from relay.providers.dropin.answer import json_answer
from relay.providers.dropin.body import media_type
from relay.providers.dropin.dialect import Endpoint
from relay.providers.dropin.order import Order
from relay.providers.dropin.visit import Visit
from relay.providers.form import read_form
from relay.providers.parameters import read_native
from relay.providers.refusal import Refused, Why
from relay.providers.segmind import rendering, wire
from relay.providers.value import field_problems, loosened

_CALLBACK_FIELD: Final = "webhook_url"
_ECHO_FIELD: Final = "webhook_secret"
_QUALITY: Final = "output_quality"
_TEXT: Final = Parameter(type="string")
_READ: Final = {**wire.FIELDS, _CALLBACK_FIELD: _TEXT, _ECHO_FIELD: _TEXT}
_SECONDS_TO_REFUSE: Final = 1.0
_TOLD_IN_STATUS: Final = (Why.MODERATED, Why.FAILED, Why.BUSY)
_SIDES: Final = frozenset({"width", "height"})
_FORMATS: Final = {theirs: ours for ours, theirs in wire.OUTPUT_FORMATS.items()}
_DEFAULTS: Final = {name: rule.default for name, rule in wire.PARAMETERS.items() if name not in _SIDES}


class SegmindDropin:
    """Segmind's wire format, served. The contract of every method is that of Dialect."""

    name: str = wire.TABLE.provider
    names: Mapping[str, str] = {"callback_url": _CALLBACK_FIELD, "callback_secret": _ECHO_FIELD}

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("POST", "/v1/{model}", _make),
            Endpoint("POST", "/v2/{model}", _queue),
            Endpoint("GET", "/v2/requests/{id}/status", _tell_status, None),
            Endpoint("GET", "/v2/requests/{id}", _tell_result, None),
            Endpoint("GET", "/v1/requests/{id}", _tell_result, None),
        ]

    def refuse(self, refused: Refused) -> Response:
        refusal = rendering.refusal_of(refused)
        return Response(refusal.body, refusal.status, refusal.headers, refusal.media_type)


async def _make(visit: Visit) -> Response:
    task = await visit.hold(await _order(visit))
    (picture, *_) = await visit.pictures(task)
    return Response(picture.data, 200, rendering.headers_of(task, visit.credits_left()), picture.content_type)


async def _queue(visit: Visit) -> Response:
    order = await _order(visit)
    try:
        task_id = (await visit.submit(order, seconds=_SECONDS_TO_REFUSE)).id
    except Refused as exc:
        if exc.task_id is None or exc.why not in _TOLD_IN_STATUS:
            raise
        task_id = exc.task_id
    return json_answer(rendering.queued(task_id, _links(visit, task_id)))


async def _tell_status(visit: Visit) -> Response:
    task = (await visit.find(visit.path["id"])).task
    return _answer(visit, task, rendering.status_of(task, _links(visit, task.id)))


async def _tell_result(visit: Visit) -> Response:
    task = (await visit.find(visit.path["id"])).task
    if not task.status.is_final:
        return _answer(visit, task, rendering.status_of(task, _links(visit, task.id)))
    return _answer(visit, task, rendering.result_of(task, visit.links(task), request_id=task.id))


def _answer(visit: Visit, task: Task, result: wire.Result) -> Response:
    metrics, credits_left = dict(result.metrics or {}), visit.credits_left()
    if task.status is TaskStatus.SUCCEEDED and credits_left is not None:
        metrics["remaining_credits"] = credits_left
    return json_answer(msgspec.structs.replace(result, metrics=metrics), 422 if task.status is TaskStatus.FAILED else 200)


def _links(visit: Visit, task_id: str) -> rendering.Links:
    return rendering.Links(
        poll_url=visit.url(f"/v1/requests/{task_id}", task_id), status_url=visit.url(f"/v2/requests/{task_id}/status", task_id),
        response_url=visit.url(f"/v2/requests/{task_id}", task_id))


async def _order(visit: Visit) -> Order:
    model = visit.path["model"]
    if model not in wire.TABLE.models:
        raise Refused(Why.PATH, f"There is no model {model[:100]!r} here; there is {wire.MODEL}")
    return read_order(await _body(visit), model)


async def _body(visit: Visit) -> dict[str, Any]:
    match media_type(visit):
        case "application/json":
            return await visit.json()
        case "multipart/form-data":
            return await _form(visit.request.headers["content-type"], await visit.body())
        case _:
            await visit.body()
            raise Refused(Why.MEDIA, "Invalid content type")


async def _form(content_type: str, body: bytes) -> dict[str, Any]:
    try:
        return dict(await read_form(content_type, body))
    except ValueError as exc:
        raise Malformed(str(exc)) from exc


def read_order(body: Mapping[str, Any], model: str) -> Order:
    """A request's fields, numbers and booleans as text or not. Raises Invalid."""
    body = loosened(body, wire.FIELDS)
    if problems := field_problems(body, _READ):
        raise Invalid(errors=problems)
    fields, options = read_native(body, wire.TABLE)
    fields, aside = _sized(fields)
    if "output_format" in fields:
        fields["output_format"] = _FORMATS[fields["output_format"]]
    request = TaskRequest(
        provider=wire.TABLE.provider, model=model, prompt=body["prompt"], **fields, options={**options, **aside} or None,
        callback_url=body.get(_CALLBACK_FIELD) or None, callback_secret=body.get(_ECHO_FIELD) or None)
    return Order(request=request, defaults=_defaults(fields), idle=_SIDES | _idle_quality(fields, options))


def _sized(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields as Relay means them, and those that are only passed on."""
    if fields.get("aspect_ratio") == wire.CUSTOM:
        sides = {side: fields.get(side, wire.DEFAULT_SIDE) for side in _SIDES}
        return {**{name: value for name, value in fields.items() if name != "aspect_ratio"}, **sides}, {}
    return ({name: value for name, value in fields.items() if name not in _SIDES},
            {name: value for name, value in fields.items() if name in _SIDES})


def _defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A size says what the ratio would."""
    return {name: value for name, value in _DEFAULTS.items() if not (name == "aspect_ratio" and "width" in fields)}


def _idle_quality(fields: Mapping[str, Any], options: Mapping[str, Any]) -> frozenset[str]:
    """The quality says nothing of a PNG, and nothing new where it is the usual one."""
    is_idle = fields.get("output_format") == "png" or options.get(_QUALITY) == wire.DEFAULT_QUALITY
    return frozenset({_QUALITY}) if is_idle else frozenset()
