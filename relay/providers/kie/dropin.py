"""Relay in the place of Kie: submit, ask for the record, be called back at `callBackUrl` in Kie's shape.

Decisions
- A taskId is the task's id, in the answer, in the record and in the callback.
- `paramJson` of a record holds the documented fields as the app sent them, without the URL of the callback and without what is large.
- An input picture must be given by URL, as Kie has it.
- `uploadCn` says where a picture is uploaded from, and nothing about the picture: where another provider makes it, it means nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response

from relay.errors import FieldProblem, Invalid
from relay.ports import TaskRequest
from relay.providers.answer import is_link
from relay.providers.dropin.answer import json_answer
from relay.providers.dropin.body import read_json
from relay.providers.dropin.dialect import Endpoint
from relay.providers.dropin.order import Order
from relay.providers.dropin.visit import Visit
from relay.providers.kie import rendering, wire
from relay.providers.parameters import read_native
from relay.providers.refusal import Refused, Why
from relay.providers.value import field_problems

_CALLBACK_FIELD: Final = "callBackUrl"
_DEFAULTS: Final = {name: rule.default for name, rule in wire.PARAMETERS.items() if rule.default is not None}
_IDLE: Final = frozenset({"uploadCn"})
_LONGEST: Final = 2083


class KieDropin:
    """Kie's wire format, served. The contract of every method is that of Dialect."""

    name: str = wire.TABLE.provider
    names: Mapping[str, str] = {**{field: keys[0] for field, keys in wire.TABLE.names.items()}, "callback_url": _CALLBACK_FIELD}

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("POST", wire.SUBMIT_PATH, _submit), Endpoint("GET", wire.RECORD_PATH, _tell_record, None)]

    def refuse(self, refused: Refused) -> Response:
        status, body = rendering.refusal_of(refused)
        return json_answer(body, status)


async def _submit(visit: Visit) -> Response:
    order = read_order(await read_json(visit))
    try:
        task = await visit.submit(order)
    except Refused as exc:
        if exc.error and visit.is_via:  # the codes of another provider mean something else
            exc.error = msgspec.structs.replace(exc.error, provider_code=None)
        raise
    return json_answer(rendering.envelope(wire.OK, "success", {"taskId": task.id}))


async def _tell_record(visit: Visit) -> Response:
    task_id = visit.request.query_params.get("taskId")
    if not task_id:
        raise Refused(Why.FIELDS, "", [FieldProblem("taskId", "is required")])
    called = await visit.find(task_id)
    task, order = called.task, {"prompt": called.task.prompt, **called.call.native}
    record = rendering.record_of(task, visit.links(task), task_id=task.id, order=order)
    return json_answer(rendering.envelope(wire.OK, "success", record))


def read_order(body: Mapping[str, Any]) -> Order:
    """A request's fields. Raises Invalid; Refused for the range of the tolerance, which is told in words of its own."""
    problems = [*field_problems(body, wire.FIELDS), *_link_problems(body, "inputImage"), *_link_problems(body, _CALLBACK_FIELD)]
    if problems:
        raise Invalid(errors=problems)
    if out_of_range := wire.tolerance_problem(body):
        raise Refused(Why.FIELDS, out_of_range)
    fields, options = read_native(body, wire.TABLE)
    request = TaskRequest(
        provider=wire.TABLE.provider, prompt=body["prompt"], model=body.get("model"), **fields, options=options or None,
        callback_url=body.get(_CALLBACK_FIELD))
    return Order(request=request, native=_remembered(body), defaults=_defaults(fields), idle=_IDLE)


def _link_problems(body: Mapping[str, Any], name: str) -> list[FieldProblem]:
    link = body.get(name)
    return [FieldProblem(name, "must be a valid URL")] if isinstance(link, str) and not is_link(link) else []


def _remembered(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the page names; without the prompt, which the task has."""
    named = {name: body[name] for name in wire.FIELDS if name in body and name not in ("prompt", _CALLBACK_FIELD)}
    return {name: value for name, value in named.items() if not (isinstance(value, str) and len(value) > _LONGEST)}


def _defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An input picture keeps its own ratio."""
    return {name: value for name, value in _DEFAULTS.items() if not (name == "aspect_ratio" and "image" in fields)}
