"""Taking submissions: counted, checked, refused or started. The same for all five."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request

from relay.ports import Rate
from relay.providers.sandbox.callback import CallbackSender
from relay.providers.sandbox.crew import Crew
from relay.providers.sandbox.faults import Faults, read_faults
from relay.providers.sandbox.job import Job, Jobs, State
from relay.providers.sandbox.ledger import Ledger
from relay.providers.sandbox.pace import Window
from relay.providers.sandbox.picture import Drawing, Studio
from relay.providers.sandbox.reading import media_type, read_body, read_json
from relay.providers.sandbox.refusal import Refused, Why

_SHORTEST: Final = 0.3
_LONGEST: Final = 1.5


class Workshop(Struct, frozen=True, kw_only=True):
    """What the stand-ins share. `body_seconds`: how long a request's body may take."""

    base_url: str
    ledger: Ledger
    crew: Crew
    studio: Studio
    sender: CallbackSender
    clock: Callable[[], datetime]
    body_seconds: float


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be made of a submission that was found good. `order` is what must be remembered of it; without what is large."""

    prompt: str
    seed: int
    drawings: tuple[Drawing, ...]
    order: dict[str, Any] = {}


class Ticket(Struct, frozen=True, kw_only=True):
    """A job that was started, and the work on it."""

    job: Job
    work: asyncio.Task[None]


Reader = Callable[[Request, float], Awaitable[dict[str, Any]]]
Planner = Callable[[dict[str, Any]], Plan]


async def read_json_request(request: Request, seconds: float) -> dict[str, Any]:
    """The JSON object that a request holds. Raises Refused."""
    kind = media_type(request)
    if kind != "application/json" and not kind.endswith("+json"):
        await read_body(request, seconds)
        raise Refused(Why.MEDIA, "The content type must be application/json")
    return read_json(await read_body(request, seconds))


def check_key(key: str) -> str:
    """The key, if it is valid: any but those that begin with `bad`. Raises Refused."""
    if not key or key.startswith("bad"):
        raise Refused(Why.KEY, "No API key was given" if not key else "The API key is not valid")
    return key


def bearer(request: Request) -> str:
    """The key of `Authorization: Bearer KEY`; empty if there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


class Intake:
    """Takes the submissions of one provider. `plan` raises Refused for what its document forbids; `rate` and `max_running` are for
    each key."""

    def __init__(self, name: str, shop: Workshop, plan: Planner, *, read: Reader = read_json_request, rate: Rate | None = None,
                 max_running: int | None = None) -> None:
        self.jobs = Jobs()
        self._name = name
        self._shop = shop
        self._plan = plan
        self._read = read
        self._window = Window(rate)
        self._max_running = max_running

    async def take(self, request: Request, key: str) -> Ticket:
        """Start what a request asks for. Raises Refused. The body is read even if the key is not valid, so that the ledger knows
        its prompt."""
        self._shop.ledger.receive(self._name)
        order, wrong = await self._order(request)
        prompt = order.get("prompt")
        seen = self._shop.ledger.receive_prompt(self._name, prompt) if isinstance(prompt, str) else 0
        check_key(key)
        if wrong:
            raise wrong
        plan = self._plan(order)
        faults = read_faults(plan.prompt)
        self._admit(faults, key, seen)
        return self._start(plan, faults, key)

    def find(self, job_id: Any, key: str) -> Job | None:  # noqa: ANN401 -- any JSON
        """A job of this key."""
        job = self.jobs.get(job_id) if isinstance(job_id, str) else None
        return job if job and job.key == key else None

    async def finish(self, ticket: Ticket) -> Job:
        """The job at its end. Raises Refused if it was given up, or ended badly."""
        await self._shop.crew.wait_for(ticket.work)
        match ticket.job.state:
            case State.DONE:
                return ticket.job
            case State.MODERATED:
                raise Refused(Why.MODERATED, "The prompt was refused by content moderation")
            case State.FAILED:
                raise Refused(Why.FAILED, "The generation failed")
            case State.RUNNING:
                raise Refused(Why.BROKEN, "The sandbox is stopping")

    async def _order(self, request: Request) -> tuple[dict[str, Any], Refused | None]:
        try:
            return await self._read(request, self._shop.body_seconds), None
        except Refused as exc:
            return {}, exc

    def _admit(self, faults: Faults, key: str, seen: int) -> None:
        if seen <= faults.rate_limit or self.jobs.is_full or self._shop.crew.is_full:
            raise Refused(Why.RATE, "Too many requests")
        if self._max_running is not None and self.jobs.running(key) >= self._max_running:
            raise Refused(Why.RATE, "Too many active tasks")
        if faults.no_credits:
            raise Refused(Why.CREDITS, "Not enough credits")
        if not self._window.take(key, asyncio.get_running_loop().time()):
            raise Refused(Why.RATE, "Too many requests")

    def _start(self, plan: Plan, faults: Faults, key: str) -> Ticket:
        job = Job(
            id=str(uuid.uuid4()), key=key, prompt=plan.prompt, seed=plan.seed, faults=faults, drawings=plan.drawings, order=plan.order,
            created_at=self._shop.clock(), started=asyncio.get_running_loop().time(),
            duration=_duration(plan) if faults.slow is None else faults.slow,
        )
        work = self._shop.crew.start(self._work(job), f"{self._name} {job.id}")
        self.jobs.add(job)
        self._shop.ledger.accept(self._name, plan.prompt)
        return Ticket(job=job, work=work)

    async def _work(self, job: Job) -> None:
        try:
            await asyncio.sleep(job.duration)
        except asyncio.CancelledError:
            self.jobs.leave(job)
            raise
        state = State.MODERATED if job.faults.moderated else State.FAILED if job.faults.error else State.DONE
        if state is State.DONE:
            self._shop.ledger.bill(self._name, job.prompt, len(job.drawings))
        self.jobs.end(job, state, self._shop.clock())


def _duration(plan: Plan) -> float:
    """In seconds; the same for the same prompt and seed."""
    share = plan.drawings[0].key[0] / 255
    return _SHORTEST + share * (_LONGEST - _SHORTEST)
