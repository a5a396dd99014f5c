"""What becomes of callers when the server goes, comes back, hangs, or is lost at the worst moment."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from relay.bell import Bell
from relay.errors import ConfigError, StoreError
from relay.model import TaskStatus
from relay.ports import Call, Repeat
from relay.ports.store import EventFilter
from relay.stores.migrations import migrations
from relay.stores.postgres import connection, migrate, transaction
from tests.postgres import PostgresServer
from tests.stores.conftest import postgres_opener
from tests.stores.cutting import Cutter, Where
from tests.stores.making import NOW, Shelf, after
from tests.stores.processes import Hands

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """One that the tests here may stop."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def shelf(own_server: PostgresServer) -> AsyncIterator[Shelf]:
    store = await postgres_opener(own_server.new_database())(Bell())
    shelf = Shelf(store)
    await shelf.add_account("default")
    yield shelf
    await store.close()


async def test_a_server_that_was_started_again_is_asked_as_if_nothing_had_been(shelf: Shelf, own_server: PostgresServer) -> None:
    task = await shelf.add_open_task()
    await asyncio.gather(*(shelf.found(task) for _ in range(8)))  # several connections
    await asyncio.to_thread(own_server.restart, "immediate")
    assert await shelf.found(task) == task
    await asyncio.to_thread(own_server.restart)
    assert (await shelf.finish(task)).task.status is TaskStatus.SUCCEEDED


async def test_a_server_that_is_gone_is_a_store_error_and_one_line_and_another_when_it_is_back(
        shelf: Shelf, own_server: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    task = await shelf.add_open_task()
    await asyncio.to_thread(own_server.stop)
    try:
        with caplog.at_level(logging.INFO, connection.__name__):
            for _ in range(20):
                outcomes = await asyncio.gather(shelf.found(task), shelf.finish(task), shelf.store.check(), return_exceptions=True)
                assert [type(outcome) for outcome in outcomes] == [StoreError] * 3
    finally:
        await asyncio.to_thread(own_server.start)
    await recovered(shelf)
    assert (await shelf.finish(task)).task.status is TaskStatus.SUCCEEDED
    lines = [record.getMessage() for record in caplog.records if record.name == connection.__name__]
    assert len(lines) == 2
    assert "not there" in lines[0]
    assert "is back" in lines[1]


async def test_a_database_that_may_only_be_read_takes_no_writes_and_is_not_ready(own_server: PostgresServer) -> None:
    url = own_server.new_database()
    store = await postgres_opener(url)(Bell())
    await store._writer.write_alone(lambda transaction: transaction.run("SET default_transaction_read_only = on", {}))  # noqa: SLF001
    with pytest.raises(StoreError, match="read-only"):
        await store.check()
    await store.close()


async def recovered(shelf: Shelf) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await shelf.store.check()
            except StoreError:
                await asyncio.sleep(0.05)
            else:
                return


@asynccontextmanager
async def cut_off(server: PostgresServer) -> AsyncIterator[tuple[Cutter, Shelf]]:
    """A store that reaches its server through a cutter."""
    cutter = Cutter(server.port)
    url = await asyncio.to_thread(server.new_database)
    store = await postgres_opener(url.replace(f":{server.port}/", f":{await cutter.start()}/"))(Bell())
    try:
        shelf = Shelf(store)
        await shelf.add_account("default")
        yield cutter, shelf
    finally:
        await store.close()
        await cutter.close()


async def test_a_connection_that_is_lost_before_the_commit_is_of_no_account(own_server: PostgresServer) -> None:
    async with cut_off(own_server) as (cutter, shelf):
        task = await shelf.add_open_task()
        for word in (b"BEGIN", b"pg_advisory_xact_lock", b"INSERT INTO callbacks"):
            cutter.word, cutter.cut = word, "before"
            assert (await shelf.finish(task)).task.status is TaskStatus.SUCCEEDED
            cutter.cut = None
        assert len((await shelf.store.events(shelf.account_id, EventFilter(), limit=9)).data) == 1


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_claim_whose_commit_was_lost_is_given_back(own_server: PostgresServer, where: Where) -> None:
    async with cut_off(own_server) as (cutter, shelf):
        task, polled = await shelf.add_task(), await shelf.add_open_task(due_at=NOW)
        for claim in (shelf.send, shelf.polls):
            cutter.cut = where
            with pytest.raises(StoreError):
                await claim()
        assert [found.id for found in (await shelf.send()).tasks] == [task.id]
        assert (await shelf.found(task)).sends == 1
        assert await shelf.polls() == [polled.id]


async def test_a_caller_whose_commit_was_lost_has_its_task_when_it_comes_again(own_server: PostgresServer) -> None:
    async with cut_off(own_server) as (cutter, shelf):
        task = shelf.task()
        cutter.cut = "after"
        with pytest.raises(StoreError):
            await shelf.store.add_task(task, due_at=NOW, call=Call(task_id=task.id, fingerprint="same"))
        again = Repeat(fingerprint="same", left_since=after(minutes=-10), taken_since=NOW, came_at=NOW)
        assert await shelf.store.rejoin(again, now=NOW) == task
        assert await shelf.store.rejoin(again, now=NOW) is None


@pytest.mark.parametrize("where", ["before", "after"])
async def test_deliveries_handed_over_in_a_lost_commit_are_claimed_by_whoever_comes(own_server: PostgresServer, where: Where) -> None:
    async with cut_off(own_server) as (cutter, shelf):
        hands = Hands()
        shelf.store.hand_to(hands)
        await shelf.subscribe()
        task = await shelf.add_open_task()
        cutter.cut = where
        with pytest.raises(StoreError):
            await shelf.finish(task)
        assert hands.jobs == []
        await shelf.store.check()
        shelf.store.hand_to(None)
        await shelf.finish(task)  # the provider calls back again
        assert [job.event.task_id for job in await shelf.claim_jobs()] == [task.id]


async def test_a_server_that_hangs_is_a_store_error_in_a_bounded_time(own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CONNECT_SECONDS", "_STATEMENT_SECONDS", "_READING_SECONDS", "_TURN_SECONDS"):
        monkeypatch.setattr(connection, name, 0.5)
    monkeypatch.setattr(transaction, "_SECONDS", 0.5)
    async with cut_off(own_server) as (cutter, shelf):
        task = await shelf.add_open_task()
        cutter.goes_on.clear()
        async with asyncio.timeout(30):
            calls = [shelf.found(task) for _ in range(30)] + [shelf.found(task)]
            outcomes = await asyncio.gather(*calls, shelf.finish(task), shelf.store.check(), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreError}
        cutter.goes_on.set()
        await recovered(shelf)
        assert (await shelf.finish(task)).task.status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize(("database", "said"), [
    ("nothing_of_that_name", "nothing_of_that_name"), ("postgres?pool_size=0", "pool_size"), ("postgres?statement_cache_size=x", "number"),
    ("postgres?listen=elsewhere:x", "host:port"),
    ("postgres?sslmode=perhaps", "sslmode"), ("postgres?colour=red", "colour"),
], ids=["no such database", "no connections", "no number", "no port", "no such mode", "no such setting"])
async def test_a_url_that_is_wrong_is_for_the_operator_to_mend(own_server: PostgresServer, database: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await postgres_opener(own_server.url_of(database).replace("postgres@", "postgres:secret-word@"))(Bell())
    assert said in str(caught.value)
    assert "secret-word" not in str(caught.value)


async def test_what_the_server_says_of_a_row_is_not_said_again(shelf: Shelf) -> None:
    secret = "INSERT INTO duties (name, holder) VALUES ('secret-word', 'somebody')"
    with pytest.raises(StoreError, match="taken_at") as caught:
        await shelf.store._writer.write_alone(lambda transaction: transaction.run(secret, {}))  # type: ignore[attr-defined]  # noqa: SLF001
    assert "secret-word" not in str(caught.value)


async def test_a_server_that_cannot_be_reached_is_a_store_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(StoreError) as caught:
            await postgres_opener(f"postgresql://relay:secret-word@127.0.0.1:{unused.getsockname()[1]}/relay")(Bell())
    assert "secret-word" not in str(caught.value)


async def test_it_is_all_the_same_without_prepared_statements(own_server: PostgresServer) -> None:
    store = await postgres_opener(own_server.new_database() + "?statement_cache_size=0&pool_size=4")(Bell())
    shelf = Shelf(store)
    await shelf.add_account("default")
    await shelf.subscribe()
    await asyncio.gather(*(shelf.deliver_to_all() for _ in range(20)))
    assert len(await shelf.claim_jobs(rooms={"sub_": 0})) == 1
    await store.close()


async def test_of_many_that_start_at_once_each_step_is_applied_by_one(own_server: PostgresServer) -> None:
    url = own_server.new_database()
    applied = await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(4)))
    assert sorted(name for some in applied for name in some) == [step.name for step in migrations("postgres")]
    assert await asyncio.to_thread(migrate, url) == []


async def test_a_database_of_a_newer_version_is_used_as_it_is(own_server: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    url = own_server.new_database()
    store = await postgres_opener(url)(Bell())
    await store._writer.write_alone(lambda transaction: transaction.run("INSERT INTO migrations VALUES (9999, '9999_later')", {}))  # noqa: SLF001
    await store.close()
    store = await postgres_opener(url)(Bell())
    await store.check()
    await store.close()
    assert "newer version" in caplog.text
