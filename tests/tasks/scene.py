"""The inbound half on a real store and archive, with a provider that does what a test tells it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from relay.archive.local import LocalArchive
from relay.bell import Bell
from relay.ids import new_id
from relay.model import Account, Task, TaskStatus, Update
from relay.net.fetch import GuardedFetcher, GuardedSession
from relay.net.guard import Policy
from relay.ports import CallbackTarget, InputImage, Limits, Message, ModelInfo, NullMeter, ProviderInfo, TaskRequest
from relay.signing import Seal
from relay.stores.sqlite import SqliteStore, open_store
from relay.tasks.clock import PollClock
from relay.tasks.poll import Pace, Poller
from relay.tasks.record import Recorder
from relay.tasks.routes import Routes
from relay.tasks.submit import Submitter

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
Step = Update | Exception


class ScriptedProvider:
    """Answers submits and fetches from two scripts, in order; what it was asked is kept."""

    name = "scripted"
    image_as: Literal["data", "url"] | None = None
    echoes_secret = True
    confirm = False
    deadline = 60.0

    def __init__(self, *, submits: Sequence[Step] = (), fetches: Sequence[Step] = (), limits: Limits | None = None,
                 result: Literal["callback", "poll", "response"] = "poll") -> None:
        self.limits = limits or Limits()
        self.submitted: list[tuple[Task, CallbackTarget | None]] = []
        self._submits, self._fetches, self._result = iter(submits), iter(fetches), result

    def describe(self) -> ProviderInfo:
        models = [ModelInfo(name="one", default=True, parameters={})]
        return ProviderInfo(name=self.name, configured=True, result=self._result, models=models)

    def check(self, request: TaskRequest) -> None: ...

    def model_for(self, request: TaskRequest) -> str:
        return request.model or "one"

    async def submit(self, task: Task, *, image: InputImage | None, callback: CallbackTarget | None) -> Update:
        assert image is None
        self.submitted.append((task, callback))
        return _play(self._submits)

    async def fetch(self, task: Task) -> Update:
        assert task.provider_task_id
        return _play(self._fetches)

    def is_authentic(self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], task: Task | None) -> bool:  # noqa: ARG002 -- the shape of a Provider
        return bool(body) and headers.get("x-secret") in secrets

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Update:
        assert headers
        return Update(status=TaskStatus.SUCCEEDED, provider_task_id=body.decode())

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        return Message(body=f"{task.id} {len(urls)}".encode())

    async def aclose(self) -> None: ...


def _play(script: Iterator[Step]) -> Update:
    step = next(script)
    if isinstance(step, Exception):
        raise step
    return step


class Scene:
    """`now` moves only when a test moves it."""

    def __init__(self, store: SqliteStore, folder: Path, bell: Bell, provider: ScriptedProvider, public_url: str | None) -> None:
        self.now = START
        self.store, self.bell, self.provider = store, bell, provider
        self.archive = LocalArchive(folder / "images")
        self.session = GuardedSession()
        self.routes = Routes(providers={provider.name: provider}, seal=Seal(["k" * 32], "callbacks"), public_url=public_url, link=_link)
        self.recorder = Recorder(store=store, archive=self.archive, new_id=new_id, clock=self.clock)
        self.poll_clock = PollClock(reconcile_after=10.0)
        self.submitter = Submitter(
            provider=provider, routes=self.routes, store=store, recorder=self.recorder, archive=self.archive,
            fetcher=GuardedFetcher(self.session, Policy()), bell=bell, poll_clock=self.poll_clock, clock=self.clock,
            jitter=_still, meter=NullMeter())
        self.poller = Poller(
            provider=provider, routes=self.routes, store=store, recorder=self.recorder, bell=bell, poll_clock=self.poll_clock,
            pace=Pace(None, lambda: 0.0), clock=self.clock, jitter=_still, meter=NullMeter())
        self.account = ""

    def clock(self) -> datetime:
        return self.now

    def pass_time(self, **span: float) -> None:
        self.now += timedelta(**span)

    async def queue(self) -> Task:
        task = Task(id=new_id("task"), account_id=self.account, provider=self.provider.name, prompt="a lighthouse", created_at=self.now)
        return (await self.store.add_task(task, due_at=self.now))[0]

    async def send_due(self) -> None:
        """What the submitter does when it is woken."""
        claim = await self.store.claim_submissions(
            self.provider.name, limits=self.provider.limits, deadline=timedelta(seconds=self.provider.deadline), now=self.now)
        for task in claim.tasks:
            await self.submitter.send(task)

    async def poll_due(self) -> int:
        """What the poller does when it is woken; how many it looked at."""
        claim = await self.store.claim_polls(self.provider.name, limit=100, now=self.now)
        for task in claim.tasks:
            await self.poller.look_after(task)
        return len(claim.tasks)

    async def see(self, task: Task) -> Task:
        found = await self.store.task(self.account, task.id)
        assert found is not None
        return found


async def open_scene(folder: Path, provider: ScriptedProvider, public_url: str | None = None) -> Scene:
    bell = Bell()
    store = await open_store(folder / "relay.db", bell=bell, link=_link, new_id=new_id)
    scene = Scene(store, folder, bell, provider, public_url)
    account = await store.add_account(Account(id=new_id("acc"), name="somebody", created_at=START))
    scene.account = account.id
    return scene


def _link(image_id: str, now: datetime) -> tuple[str, datetime]:
    return f"http://relay.test/images/{image_id}", now + timedelta(days=7)


def _still() -> float:
    return 0.0
