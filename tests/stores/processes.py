"""Several processes on one database, as far as that can tell: stores of their own, whose hearts beat when the test says so."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count

from relay.bell import Bell
from relay.model import Subscription
from relay.ports.store import Job
from relay.stores.postgres import PostgresStore, open_store
from tests.stores.making import Ids, Shelf, link

_starts = count(1_000_000, 1_000_000)


class Ticks:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Process(Shelf):
    """One of them, with short words for filling the store."""

    store: PostgresStore

    def __init__(self, store: PostgresStore, bell: Bell, ticks: Ticks) -> None:
        super().__init__(store)
        self.bell = bell
        self.ticks = ticks
        self.id = Ids(next(_starts))

    @property
    def name(self) -> str:
        return self.store.holder

    async def beat(self, *, seconds: float = 2.0) -> None:
        """Its heart beats, so many seconds after the last time."""
        self.ticks.at += seconds
        await self.store.look_round()

    async def claimed_ids(self, rooms: dict[str, int] | None = None) -> list[str]:
        return [job.delivery.id for job in await self.claim_jobs(rooms=rooms)]


class Crew:
    """All of them. Leaving it ends them."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self._account_id = ""

    async def start(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Process:
        """One more, on the same account."""
        bell, ticks, ids = Bell(), Ticks(), Ids(next(_starts))
        store = await open_store(self._url, bell=bell, link=link, new_id=ids, clock=clock, ticks=ticks)
        self._stack.push_async_callback(store.close)
        process = Process(store, bell, ticks)
        if not self._account_id:
            self._account_id = await process.add_account("default")
        process.account_id = self._account_id
        return process

    async def start_with_hints(self) -> Process:
        """One that hears the others: all that it does by itself goes on beside the test."""
        process = await self.start()
        resting = asyncio.Event()
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(resting.set)
        group.create_task(process.store.run(resting), name=process.name)
        return process


class Hands:
    """Takes whatever is handed over."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def room_for(self, subscription: Subscription) -> int:  # noqa: ARG002 -- the shape of a Taker
        return 8

    def take(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    @property
    def taken(self) -> list[str]:
        return [job.delivery.id for job in self.jobs]


async def see_silence(observer: Process) -> None:
    """It looks for long enough to take those for dead whose hearts do not beat."""
    for _ in range(5):
        await observer.beat()


async def beat_together(times: int, *processes: Process) -> None:
    """Their hearts beat so often, every two seconds."""
    for _ in range(times):
        for process in processes:
            await process.beat()
