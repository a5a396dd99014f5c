"""A stand-in for Serevix: submit, then ask for the result.

What the pages leave open is as Black Forest Labs has it: statuses, FastAPI's `detail`, 24 running tasks. A bad key is 401, as a
gateway with Bearer keys has it. The page gives no largest side; here it is 2048, so that drawing stays cheap.
"""

from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay.ports import Parameter
from relay.providers.sandbox.answer import answer_at_once, json_answer
from relay.providers.sandbox.endpoint import Endpoint
from relay.providers.sandbox.fields import BOOLEAN, PROMPT, SEED, STRING, check_fields, picture_problem, refuse_if, seed_of, whole
from relay.providers.sandbox.gallery import Gallery
from relay.providers.sandbox.intake import Intake, Plan, Workshop, bearer, check_key
from relay.providers.sandbox.job import Job, State
from relay.providers.sandbox.picture import Drawing, key_for, text_for
from relay.providers.sandbox.refusal import Refused
from relay.providers.serevix.rendering import missing_id, refusal, unknown_task
from relay.providers.serevix.wire import (
    LIMITS,
    MODERATION_REASONS,
    OUTPUT_FORMATS,
    RESULT_PATH,
    SIZE_STEP,
    SUBMIT_PATH,
    TABLE,
    Accepted,
    Result,
    ResultBody,
    Status,
)

_NAME: Final = TABLE.provider
_SIDE: Final = Parameter(type="integer", minimum=SIZE_STEP, maximum=2048, multiple_of=SIZE_STEP)
_FIELDS: Final = {
    "prompt": PROMPT,
    "image_prompt": STRING,
    "width": _SIDE,
    "height": _SIDE,
    "prompt_upsampling": BOOLEAN,
    "seed": SEED,
    "output_format": Parameter(type="string", enum=OUTPUT_FORMATS),
}
_WIDTH: Final = 1024  # the example of the page
_HEIGHT: Final = 768
_LIFETIME: Final = timedelta(minutes=10)


class StandIn:
    """Serevix."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._url = f"{shop.base_url}/{_NAME}"
        self._intake = Intake(_NAME, shop, _plan, max_running=LIMITS.max_concurrent)
        self._gallery = Gallery(_NAME, self._url, self._intake.jobs, shop.studio, shop.clock)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"/{_NAME}{RESULT_PATH}", Endpoint({"GET": self._result}, _refuse)),
            Route(f"/{_NAME}{SUBMIT_PATH}{{model}}", Endpoint({"POST": self._submit}, _refuse)),
            *self._gallery.routes(_refuse),
            Route(f"/{_NAME}/{{rest:path}}", Endpoint({}, _refuse)),
        ]

    async def _submit(self, request: Request) -> ASGIApp:
        ticket = await self._intake.take(request, bearer(request))
        accepted = Accepted(id=ticket.job.id, polling_url=f"{self._url}{RESULT_PATH}?id={ticket.job.id}")
        return await answer_at_once(ticket, lambda: json_answer(accepted), self._shop.crew)

    async def _result(self, request: Request) -> Response:
        key = check_key(bearer(request))
        task_id = request.query_params.get("id")
        if task_id is None:
            status, body = missing_id()
            return json_answer(body, status)
        job = self._intake.find(task_id, key)
        if job is None:
            return json_answer(unknown_task(task_id), 404)
        return json_answer(self._body(job))

    def _body(self, job: Job) -> ResultBody:
        match job.state:
            case State.RUNNING:
                return ResultBody(id=job.id, status=Status.PENDING, result=None, progress=job.percentage / 100)
            case State.MODERATED:
                return ResultBody(id=job.id, status=Status.CONTENT_MODERATED, result=None, details={MODERATION_REASONS: ["Safety Filter"]})
            case State.FAILED:
                return ResultBody(id=job.id, status=Status.ERROR, result=None, details={"error": "The generation failed"})
            case State.DONE:
                return ResultBody(id=job.id, status=Status.READY, result=self._ready(job))

    def _ready(self, job: Job) -> Result:
        ended_at = job.ended_at or job.created_at
        return Result(
            sample=self._gallery.signed_link(job, _LIFETIME), prompt=job.prompt, seed=job.seed, start_time=job.created_at.timestamp(),
            end_time=ended_at.timestamp(), duration=(ended_at - job.created_at).total_seconds(),
        )


def _plan(order: dict[str, Any]) -> Plan:
    refuse_if([*check_fields(order, _FIELDS), *picture_problem(order, "image_prompt")])
    prompt, seed = order["prompt"], seed_of(order)
    drawing = Drawing(
        key=key_for(prompt, seed, order.get("image_prompt") or ""), text=text_for(prompt), width=whole(order, "width", _WIDTH),
        height=whole(order, "height", _HEIGHT), format=order.get("output_format") or "jpeg",
    )
    return Plan(prompt=prompt, seed=seed, drawings=(drawing,))


def _refuse(refused: Refused) -> Response:
    status, body = refusal(refused)
    return json_answer(body, status)
