"""A connection is lost in a COMMIT that the server is still at: what is given back is given back once that is over, and not before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Final

import asyncpg
import pytest

from relay.bell import Bell
from relay.errors import StoreError
from relay.ports.call import Call, Repeat
from tests.postgres import PostgresServer
from tests.stores.conftest import postgres_opener
from tests.stores.cutting import Cutter
from tests.stores.making import NOW, Shelf
from tests.stores.processes import Hands

pytestmark = pytest.mark.anyio

_LOCK: Final = 42


class Stall:
    """Keeps every COMMIT that has changed a table from ending, as a disk does that is slow."""

    def __init__(self, cutter: Cutter, shelf: Shelf, connection: asyncpg.Connection) -> None:
        self.shelf = shelf
        self._cutter = cutter
        self._connection = connection

    async def in_doubt(self, table: str, call: Callable[[], Awaitable[object]]) -> None:
        """Make that call, whose COMMIT goes on when its connection is lost, until others wait for it or need not."""
        await self._connection.execute(
            f"""CREATE OR REPLACE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared({_LOCK}); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER stalling AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION stall();
            SELECT pg_advisory_lock({_LOCK})""")
        self._cutter.cut = "amid"
        with pytest.raises(StoreError):
            await call()
        giving_back = asyncio.create_task(self.shelf.store.check())
        while not giving_back.done() and await self._waiting() < 2:
            await asyncio.sleep(0.01)
        await self._connection.execute(f"SELECT pg_advisory_unlock({_LOCK})")
        await giving_back
        while await self._waiting():
            await asyncio.sleep(0.01)
        await self._connection.execute(f"DROP TRIGGER stalling ON {table}")

    async def _waiting(self) -> int:
        count: int = await self._connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return count


@pytest.fixture
async def stall(postgres: PostgresServer) -> AsyncIterator[Stall]:
    url, cutter = postgres.new_database(), Cutter(postgres.port)
    store = await postgres_opener(url.replace(f":{postgres.port}/", f":{await cutter.start()}/"))(Bell())
    connection = await asyncpg.connect(url)
    shelf = Shelf(store)
    await shelf.add_account("default")
    yield Stall(cutter, shelf, connection)
    await connection.close()
    await store.close()
    await cutter.close()


async def test_a_task_claimed_to_be_sent_is_back_in_the_queue(stall: Stall) -> None:
    task = await stall.shelf.add_task()
    await stall.in_doubt("tasks", stall.shelf.send)
    assert [found.id for found in (await stall.shelf.send()).tasks] == [task.id]


async def test_a_task_claimed_to_be_looked_at_is_free(stall: Stall) -> None:
    task = await stall.shelf.add_open_task(due_at=NOW)
    await stall.in_doubt("tasks", stall.shelf.polls)
    assert await stall.shelf.polls() == [task.id]


async def test_a_delivery_that_was_claimed_is_free(stall: Stall) -> None:
    await stall.shelf.subscribe()
    delivery = await stall.shelf.deliver()
    await stall.in_doubt("deliveries", stall.shelf.claim_jobs)
    assert [job.delivery.id for job in await stall.shelf.claim_jobs()] == [delivery.id]


async def test_a_delivery_that_was_handed_over_is_free(stall: Stall) -> None:
    hands = Hands()
    stall.shelf.store.hand_to(hands)
    await stall.shelf.subscribe()
    task = await stall.shelf.add_open_task()
    await stall.in_doubt("deliveries", lambda: stall.shelf.finish(task))
    assert hands.jobs == []
    assert [job.event.task_id for job in await stall.shelf.claim_jobs()] == [task.id]


async def test_a_call_that_was_recorded_waits_for_its_caller(stall: Stall) -> None:
    shelf = stall.shelf
    task = shelf.task()
    await stall.in_doubt("calls", lambda: shelf.store.add_task(task, due_at=NOW, call=Call(task_id=task.id, fingerprint="same")))
    assert await shelf.found(task) == task
    assert not await shelf.store.is_attended("same")


async def test_a_call_that_was_rejoined_waits_for_its_caller_again(stall: Stall) -> None:
    shelf = stall.shelf
    task = shelf.task()
    await shelf.store.add_task(task, due_at=NOW, call=Call(task_id=task.id, fingerprint="same"))
    await shelf.store.leave(task.id, taken=False, now=NOW)
    repeat = Repeat(fingerprint="same", left_since=NOW - timedelta(minutes=1), taken_since=NOW, came_at=NOW)
    await stall.in_doubt("calls", lambda: shelf.store.rejoin(repeat, now=NOW))
    assert not await shelf.store.is_attended("same")
    assert await shelf.store.rejoin(repeat, now=NOW) == await shelf.found(task)
