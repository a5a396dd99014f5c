"""A stand-in for Kie's Flux Kontext: submit with a callback URL, or ask for the record.

Refusals are HTTP 200 with the truth in `code`, but for 429 (20 new tasks in 10 s, as documented) and for what fails before the
API reads it: a path, method, content type or body that is none gets an HTTP status of its own. The 10 queries a second are not
held against anybody, so that tests may ask as often as they like. Callbacks are signed where the sandbox was given a key.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay.ports import Parameter
from relay.providers.kie import wire
from relay.providers.sandbox.answer import answer_at_once, json_answer
from relay.providers.sandbox.caller import Caller, Letter, encode
from relay.providers.sandbox.endpoint import Endpoint
from relay.providers.sandbox.fields import (
    BOOLEAN,
    INTEGER,
    PROMPT,
    STRING,
    check_fields,
    refuse_if,
    remembered,
    seed_of,
    url_problem,
)
from relay.providers.sandbox.gallery import Gallery
from relay.providers.sandbox.intake import Intake, Plan, Workshop, bearer, check_key
from relay.providers.sandbox.job import Job, State
from relay.providers.sandbox.picture import Drawing, key_for, size_for_ratio, text_for
from relay.providers.sandbox.refusal import Refused, Why

_NAME: Final = wire.TABLE.provider
RETRIES: Final = (1.0, 5.0, 15.0)
"""Seconds before a callback that was not taken is sent again: the documented minutes, made short."""
_FIELDS: Final = {
    "prompt": PROMPT,
    "enableTranslation": BOOLEAN,
    "uploadCn": BOOLEAN,
    "inputImage": STRING,
    "aspectRatio": Parameter(type="string", enum=wire.ASPECT_RATIOS),
    "outputFormat": Parameter(type="string", enum=wire.OUTPUT_FORMATS),
    "promptUpsampling": BOOLEAN,
    "model": Parameter(type="string", enum=wire.MODELS),
    "callBackUrl": STRING,
    "safetyTolerance": INTEGER,
    "watermark": STRING,
}
_RATIO_OF_INPUT: Final = "1:1"  # the input is never fetched
_ENDS: Final = {  # the code and the words of a callback
    State.DONE: (wire.OK, "BFL image generated successfully."),
    State.MODERATED: (400, "Your prompt was flagged by Website as violating content policies."),
    State.FAILED: (501, "Image generation task failed"),
}
_CODES: Final = {
    Why.KEY: (401, "You do not have access permissions"),
    Why.CREDITS: (402, "Insufficient credits"),
    Why.RATE: (429, "Your call frequency is too high. Please try again later."),
    Why.PATH: (404, "Not found"),
    Why.BROKEN: (500, "Server exception, please try again later"),
    Why.MODERATED: _ENDS[State.MODERATED],
    Why.FAILED: _ENDS[State.FAILED],
}
_STATUSES: Final = {
    Why.RATE: 429, Why.BODY: 400, Why.MEDIA: 415, Why.LARGE: 413, Why.LATE: 408, Why.PATH: 404, Why.METHOD: 405, Why.BROKEN: 500,
}
_UNPROCESSABLE: Final = 422
_OUT_OF_RANGE: Final = 500


class StandIn:
    """Kie."""

    def __init__(self, shop: Workshop, *, hmac_key: str | None, retries: Sequence[float]) -> None:
        self._shop = shop
        self._hmac_key = hmac_key
        self._intake = Intake(_NAME, shop, _plan, rate=wire.LIMITS.rate)
        self._gallery = Gallery(_NAME, f"{shop.base_url}/{_NAME}", self._intake.jobs, shop.studio, shop.clock)
        self._caller = Caller(shop.sender, lambda job: shop.ledger.call(_NAME, job.prompt), self._final, retries=retries)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"/{_NAME}{wire.SUBMIT_PATH}", Endpoint({"POST": self._submit}, _refuse)),
            Route(f"/{_NAME}{wire.RECORD_PATH}", Endpoint({"GET": self._record}, _refuse)),
            *self._gallery.routes(_refuse),
            Route(f"/{_NAME}/{{rest:path}}", Endpoint({}, _refuse)),
        ]

    async def _submit(self, request: Request) -> ASGIApp:
        ticket = await self._intake.take(request, bearer(request))
        caller = self._caller if ticket.job.order.get("callBackUrl") else None
        return await answer_at_once(ticket, lambda: _envelope(wire.OK, "success", {"taskId": ticket.job.id}), self._shop.crew, caller)

    async def _record(self, request: Request) -> Response:
        key = check_key(bearer(request))
        task_id = request.query_params.get("taskId")
        if not task_id:
            return _envelope(_UNPROCESSABLE, "taskId is required", None)
        job = self._intake.find(task_id, key)
        return _envelope(404, "The task was not found", None) if job is None else _envelope(wire.OK, "success", self._row(job))

    def _row(self, job: Job) -> dict[str, Any]:
        flag = {State.RUNNING: wire.GENERATING, State.DONE: wire.SUCCESS}.get(job.state, wire.GENERATION_FAILED)
        code, message = _ENDS[job.state] if flag == wire.GENERATION_FAILED else (None, "")
        return {
            "taskId": job.id, "paramJson": msgspec.json.encode(job.order).decode(), "completeTime": _time(job.ended_at),
            "createTime": _time(job.created_at), "response": self._links(job) if job.state is State.DONE else None,
            "successFlag": flag, "errorCode": code, "errorMessage": message,
        }

    def _links(self, job: Job) -> dict[str, str]:
        if job.state is not State.DONE:
            return {"originImageUrl": "", "resultImageUrl": ""}
        return {
            "originImageUrl": self._gallery.signed_link(job, wire.ORIGINAL_LIFETIME),
            "resultImageUrl": self._gallery.link(job),
        }

    def _final(self, job: Job) -> Letter:
        code, message = _ENDS[job.state]
        body = encode({"code": code, "msg": message, "data": {"taskId": job.id, "info": self._links(job)}})
        return Letter(url=job.order["callBackUrl"], body=body, headers=self._signature(job))

    def _signature(self, job: Job) -> dict[str, str]:
        if not self._hmac_key:
            return {}
        timestamp = str(int(self._shop.clock().timestamp()))
        key = f"not-{self._hmac_key}" if job.faults.bad_secret else self._hmac_key
        signature = hmac.digest(key.encode(), f"{job.id}.{timestamp}".encode(), hashlib.sha256)
        return {wire.TIMESTAMP_HEADER: timestamp, wire.SIGNATURE_HEADER: base64.b64encode(signature).decode()}


def _plan(order: dict[str, Any]) -> Plan:
    refuse_if([*check_fields(order, _FIELDS), *url_problem(order, "inputImage"), *url_problem(order, "callBackUrl")])
    _check_tolerance(order)
    prompt = order["prompt"]
    seed = seed_of({"prompt": prompt})
    ratio = order.get("aspectRatio") or (_RATIO_OF_INPUT if order.get("inputImage") else wire.DEFAULT_ASPECT_RATIO)
    width, height = size_for_ratio(ratio)
    drawing = Drawing(
        key=key_for(prompt, seed, order.get("inputImage") or ""), text=text_for(prompt), width=width, height=height,
        format=order.get("outputFormat") or wire.DEFAULT_OUTPUT_FORMAT, watermark=text_for(order.get("watermark") or ""),
    )
    return Plan(prompt=prompt, seed=seed, drawings=(drawing,), order=remembered(order, _FIELDS))


def _check_tolerance(order: dict[str, Any]) -> None:
    """The one value whose refusal has another code."""
    most = wire.MAX_SAFETY_TOLERANCE_EDITING if order.get("inputImage") else wire.MAX_SAFETY_TOLERANCE
    if not 0 <= (order.get("safetyTolerance") or 0) <= most:
        raise Refused(Why.FIELDS, f"The security tolerance level is out of range and should be 0-{most}")


def _time(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _envelope(code: int, message: str, data: Any, status: int = 200) -> Response:  # noqa: ANN401 -- whatever is JSON
    return json_answer({"code": code, "msg": message, "data": data}, status)


def _refuse(refused: Refused) -> Response:
    is_range = refused.why is Why.FIELDS and not refused.problems
    code, message = _CODES.get(refused.why, (_OUT_OF_RANGE if is_range else _UNPROCESSABLE, refused.message))
    return _envelope(code, message, None, _STATUSES.get(refused.why, 200))
