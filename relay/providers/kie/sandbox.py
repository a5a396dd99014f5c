"""A stand-in for Kie's Flux Kontext: submit with a callback URL, or ask for the record.

New tasks are limited to 20 in 10 s, as documented; the 10 queries a second are not held against anybody, so that tests may ask as
often as they like. Callbacks are signed where the sandbox was given a key.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay.providers.kie import wire
from relay.providers.kie.rendering import FAILED, MODERATED, envelope, refusal_of, time_of
from relay.providers.sandbox.answer import answer_at_once, json_answer
from relay.providers.sandbox.caller import Caller, Letter, encode
from relay.providers.sandbox.endpoint import Endpoint
from relay.providers.sandbox.fields import check_fields, refuse_if, remembered, seed_of, url_problem
from relay.providers.sandbox.gallery import Gallery
from relay.providers.sandbox.intake import Intake, Plan, Workshop, bearer, check_key
from relay.providers.sandbox.job import Job, State
from relay.providers.sandbox.picture import Drawing, key_for, size_for_ratio, text_for
from relay.providers.sandbox.refusal import Refused, Why

_NAME: Final = wire.TABLE.provider
RETRIES: Final = (1.0, 5.0, 15.0)
"""Seconds before a callback that was not taken is sent again: the documented minutes, made short."""
_RATIO_OF_INPUT: Final = "1:1"  # the input is never fetched
_ENDS: Final = {  # the code and the words of a callback
    State.DONE: (wire.OK, "BFL image generated successfully."),
    State.MODERATED: MODERATED,
    State.FAILED: FAILED,
}
_UNPROCESSABLE: Final = 422


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
            "taskId": job.id, "paramJson": msgspec.json.encode(job.order).decode(), "completeTime": time_of(job.ended_at),
            "createTime": time_of(job.created_at), "response": self._links(job) if job.state is State.DONE else None,
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
        body = encode(envelope(code, message, {"taskId": job.id, "info": self._links(job)}))
        return Letter(url=job.order["callBackUrl"], body=body, headers=self._signature(job))

    def _signature(self, job: Job) -> dict[str, str]:
        if not self._hmac_key:
            return {}
        timestamp = str(int(self._shop.clock().timestamp()))
        key = f"not-{self._hmac_key}" if job.faults.bad_secret else self._hmac_key
        signature = hmac.digest(key.encode(), f"{job.id}.{timestamp}".encode(), hashlib.sha256)
        return {wire.TIMESTAMP_HEADER: timestamp, wire.SIGNATURE_HEADER: base64.b64encode(signature).decode()}


def _plan(order: dict[str, Any]) -> Plan:
    refuse_if([*check_fields(order, wire.FIELDS), *url_problem(order, "inputImage"), *url_problem(order, "callBackUrl")])
    if out_of_range := wire.tolerance_problem(order):
        raise Refused(Why.FIELDS, out_of_range)
    prompt = order["prompt"]
    seed = seed_of({"prompt": prompt})
    ratio = order.get("aspectRatio") or (_RATIO_OF_INPUT if order.get("inputImage") else wire.DEFAULT_ASPECT_RATIO)
    width, height = size_for_ratio(ratio)
    drawing = Drawing(
        key=key_for(prompt, seed, order.get("inputImage") or ""), text=text_for(prompt), width=width, height=height,
        format=order.get("outputFormat") or wire.DEFAULT_OUTPUT_FORMAT, watermark=text_for(order.get("watermark") or ""),
    )
    return Plan(prompt=prompt, seed=seed, drawings=(drawing,), order=remembered(order, wire.FIELDS))


def _envelope(code: int, message: str, data: Any) -> Response:  # noqa: ANN401 -- whatever is JSON
    return json_answer(envelope(code, message, data))


def _refuse(refused: Refused) -> Response:
    status, body = refusal_of(refused)
    return json_answer(body, status)
