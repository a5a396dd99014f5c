"""How often the database is asked, from a callback to the end of its delivery: the number stands in the store's docstring."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import asyncpg
import pytest

from tests.stores.processes import Crew, Hands, Process

pytestmark = pytest.mark.anyio

_OF_CHANGES: Final = 6
_OF_ATTEMPTS: Final = 5


class Trips:
    """Calls of the driver. A statement that is known to the server is one round trip."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def counted(self, run: Any) -> Any:
        async def counted(connection: Any, sql: str, *given: Any, **how: Any) -> Any:
            self.made.append(sql)
            return await run(connection, sql, *given, **how)

        return counted

    def take(self) -> list[str]:
        made, self.made = self.made, []
        return made


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trips]:
    trips = Trips()
    with monkeypatch.context() as patched:
        for name in ("fetch", "execute"):
            patched.setattr(asyncpg.Connection, name, trips.counted(getattr(asyncpg.Connection, name)))
        yield trips


@pytest.fixture
async def process(database: str) -> AsyncIterator[Process]:
    """With a subscription, to which one delivery was handed over and sent."""
    async with AsyncExitStack() as stack:
        process = await Crew(database, stack).start()
        await process.subscribe()
        yield process


@pytest.fixture
async def hands(process: Process) -> Hands:
    hands = Hands()
    process.store.hand_to(hands)
    await told(process, hands, 1)
    return hands


async def told(process: Process, hands: Hands, count: int, trips: Trips | None = None) -> tuple[list[str], list[str]]:
    """So many tasks that end at once, and the attempts of their deliveries: what was asked for either."""
    tasks = [await process.add_open_task() for _ in range(count)]
    if trips:
        trips.take()
    await asyncio.gather(*(process.finish(task) for task in tasks))
    changes = trips.take() if trips else []
    jobs, hands.jobs = hands.jobs, []
    assert len(jobs) == count
    await process.store.settle([process.settlement(job.delivery) for job in jobs], now=jobs[0].event.created_at)
    return changes, trips.take() if trips else []


async def test_an_event_takes_eleven_round_trips(process: Process, hands: Hands, trips: Trips) -> None:
    changes, attempts = await told(process, hands, 1, trips)
    assert len(changes) == _OF_CHANGES, changes
    assert len(attempts) == _OF_ATTEMPTS, attempts


async def test_eight_events_that_come_together_take_as_many(process: Process, hands: Hands, trips: Trips) -> None:
    changes, attempts = await told(process, hands, 8, trips)
    assert (len(changes), len(attempts)) == (_OF_CHANGES, _OF_ATTEMPTS)


@pytest.mark.usefixtures("hands")
async def test_a_hundred_changes_that_come_together_take_as_many_as_one(process: Process, trips: Trips) -> None:
    tasks = [await process.add_open_task() for _ in range(100)]
    trips.take()
    await asyncio.gather(*(process.finish(task) for task in tasks))
    assert len(trips.take()) == _OF_CHANGES


async def test_callbacks_whose_bodies_are_large_are_not_all_written_at_once(process: Process, trips: Trips) -> None:
    tasks = [await process.add_open_task() for _ in range(4)]
    large = [process.success(task, callback=process.callback(task, body="x" * 3_000_000)) for task in tasks]
    trips.take()
    await asyncio.gather(*(process.apply(change) for change in large))
    assert len([sql for sql in trips.take() if sql == "COMMIT"]) == 2


@pytest.mark.usefixtures("hands")
async def test_a_change_that_tells_nothing_takes_no_lock(process: Process, trips: Trips) -> None:
    task = await process.add_open_task()
    await process.finish(task)
    trips.take()
    await process.finish(task)
    assert not [sql for sql in trips.take() if "pg_advisory_xact_lock" in sql]
