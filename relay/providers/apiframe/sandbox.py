"""A stand-in for APIFRAME v1: submit with a webhook, or fetch.

Success is told exactly as the page shows it, without a `status`; a failure, which no page shows, as `{task_id, task_type, status:
"failed", message}`. The page names the statuses 200, 400, 401 and 500: what is wrong with a request is 400 here, a bad key 401; an
empty account is 402, and too many requests are 429, as everywhere. The key is taken raw, as documented, and as Bearer, as some
clients send it. Fields that the page reserves for other models have no effect.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay.errors import FieldProblem
from relay.ports import Parameter
from relay.providers.apiframe.rendering import NO_TASK, WRONG_IDS, refusal
from relay.providers.apiframe.wire import (
    ECHO_HEADER,
    FETCH_MANY_PATH,
    FETCH_PATH,
    FEWEST_FETCHED,
    HEIGHT,
    MAX_SIDE,
    MIN_SIDE,
    MOST_FETCHED,
    RATIO,
    SUBMIT_PATH,
    TABLE,
    TALLEST,
    TASK_TYPE,
    ULTRA,
    WIDEST,
    WIDTH,
    Accepted,
    Notice,
)
from relay.providers.sandbox.answer import answer_at_once, json_answer
from relay.providers.sandbox.caller import Caller, Letter, encode
from relay.providers.sandbox.endpoint import Endpoint
from relay.providers.sandbox.fields import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    PROMPT,
    SEED,
    STRING,
    check_fields,
    picture_problem,
    refuse_if,
    remembered,
    seed_of,
    url_problem,
    whole,
)
from relay.providers.sandbox.gallery import Gallery
from relay.providers.sandbox.intake import Intake, Plan, Workshop, bearer, check_key, read_json_request
from relay.providers.sandbox.job import Job, State
from relay.providers.sandbox.picture import Drawing, key_for, size_for_ratio, text_for
from relay.providers.sandbox.refusal import Refused, Why

_NAME: Final = TABLE.provider
_SIDE: Final = Parameter(type="integer", minimum=MIN_SIDE, maximum=MAX_SIDE)
_FIELDS: Final = {
    "model": Parameter(type="string", enum=tuple(TABLE.models)),
    "prompt": PROMPT,
    "image_prompt": STRING,
    "image_prompt_strength": Parameter(type="number", minimum=0, maximum=1),
    "prompt_upsampling": BOOLEAN,
    "width": _SIDE,
    "height": _SIDE,
    "aspect_ratio": Parameter(type="string", pattern=r"[1-9][0-9]{0,3}:[1-9][0-9]{0,3}", description="WIDTH:HEIGHT"),
    "steps": INTEGER,
    "guidance": NUMBER,
    "interval": Parameter(type="integer", minimum=1, maximum=4),
    "seed": SEED,
    "safety_tolerance": Parameter(type="integer", minimum=0, maximum=6),
    "raw": BOOLEAN,
    "webhook_url": STRING,
    "webhook_secret": STRING,
}
_WRONG: Final = "not-what-was-given"
_MESSAGES: Final = {
    State.MODERATED: "The prompt violates our content policy",
    State.FAILED: "The generation failed",
}


class StandIn:
    """APIFRAME."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._intake = Intake(_NAME, shop, _plan)
        self._gallery = Gallery(_NAME, f"{shop.base_url}/{_NAME}", self._intake.jobs, shop.studio, shop.clock)
        self._caller = Caller(shop.sender, lambda job: shop.ledger.call(_NAME, job.prompt), self._final, self._progress)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"/{_NAME}{SUBMIT_PATH}", Endpoint({"POST": self._submit}, _refuse)),
            Route(f"/{_NAME}{FETCH_PATH}", Endpoint({"POST": self._fetch}, _refuse)),
            Route(f"/{_NAME}{FETCH_MANY_PATH}", Endpoint({"POST": self._fetch_many}, _refuse)),
            *self._gallery.routes(_refuse),
            Route(f"/{_NAME}/{{rest:path}}", Endpoint({}, _refuse)),
        ]

    async def _submit(self, request: Request) -> ASGIApp:
        ticket = await self._intake.take(request, _key(request))
        caller = self._caller if ticket.job.order.get("webhook_url") else None
        return await answer_at_once(ticket, lambda: json_answer(Accepted(task_id=ticket.job.id)), self._shop.crew, caller)

    async def _fetch(self, request: Request) -> Response:
        key = check_key(_key(request))
        order = await read_json_request(request, self._shop.body_seconds)
        job = self._intake.find(order.get("task_id"), key)
        if job is None:
            raise Refused(Why.FIELDS, "There is no such task", [NO_TASK])
        return json_answer(self._notice(job))

    async def _fetch_many(self, request: Request) -> Response:
        """Tasks that are not found are left out."""
        key = check_key(_key(request))
        order = await read_json_request(request, self._shop.body_seconds)
        ids = order.get("task_ids")
        if not isinstance(ids, list) or not FEWEST_FETCHED <= len(ids) <= MOST_FETCHED:
            raise Refused(Why.FIELDS, "task_ids must be a list", [WRONG_IDS])
        found = (self._intake.find(task_id, key) for task_id in ids)
        return json_answer({"tasks": [self._notice(job) for job in found if job]})

    def _notice(self, job: Job) -> Notice:
        match job.state:
            case State.RUNNING:
                return _progress_of(job, job.percentage)
            case State.DONE:
                link = self._gallery.link(job)
                return Notice(task_id=job.id, task_type=TASK_TYPE, original_image_url=link, image_url=link)
            case State.MODERATED | State.FAILED:
                return Notice(task_id=job.id, task_type=TASK_TYPE, status="failed", message=_MESSAGES[job.state])

    def _final(self, job: Job) -> Letter:
        return _letter(job, self._notice(job))

    def _progress(self, job: Job, percentage: int) -> Letter:
        return _letter(job, _progress_of(job, percentage))


def _key(request: Request) -> str:
    return bearer(request) or request.headers.get("authorization", "").strip()


def _plan(order: dict[str, Any]) -> Plan:
    refuse_if([
        *check_fields(order, _FIELDS, required=("model", "prompt")), *_ratio_problem(order.get("aspect_ratio")),
        *picture_problem(order, "image_prompt"), *url_problem(order, "webhook_url"), *_secret_problem(order.get("webhook_secret")),
    ])
    prompt, seed = order["prompt"], seed_of(order)
    width, height = _size(order)
    drawing = Drawing(
        key=key_for(prompt, seed, order.get("image_prompt") or ""), text=text_for(prompt), width=width, height=height, format="png",
    )
    return Plan(prompt=prompt, seed=seed, drawings=(drawing,), order=remembered(order, _FIELDS))


def _size(order: dict[str, Any]) -> tuple[int, int]:
    """Of the ultra model a ratio decides, unless a size is given without one."""
    has_size = order.get("width") is not None or order.get("height") is not None
    if order["model"] == ULTRA and (order.get("aspect_ratio") or not has_size):
        return size_for_ratio(order.get("aspect_ratio") or RATIO)
    return whole(order, "width", WIDTH), whole(order, "height", HEIGHT)


def _ratio_problem(ratio: Any) -> list[FieldProblem]:  # noqa: ANN401 -- any JSON
    if not isinstance(ratio, str) or not ratio.replace(":", "", 1).isdecimal() or ":" not in ratio:
        return []
    width, _, height = ratio.partition(":")
    is_within = width and int(height or 0) and TALLEST <= int(width) / int(height) <= WIDEST
    return [] if is_within else [FieldProblem("aspect_ratio", "must be between 21:9 and 9:21")]


def _secret_problem(secret: Any) -> list[FieldProblem]:  # noqa: ANN401 -- any JSON
    """It must fit into a header."""
    if not isinstance(secret, str) or (secret.isascii() and secret.isprintable()):
        return []
    return [FieldProblem("webhook_secret", "must be printable ASCII characters")]


def _progress_of(job: Job, percentage: int) -> Notice:
    return Notice(task_id=job.id, task_type=TASK_TYPE, status="processing", percentage=percentage)


def _letter(job: Job, notice: Notice) -> Letter:
    secret = _WRONG if job.faults.bad_secret else job.order.get("webhook_secret")
    return Letter(url=job.order["webhook_url"], body=encode(notice), headers={} if secret is None else {ECHO_HEADER: secret})


def _refuse(refused: Refused) -> Response:
    status, body = refusal(refused)
    return json_answer(body, status)
