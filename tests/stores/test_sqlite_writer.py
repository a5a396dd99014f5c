"""Group commit: what waits together shares a transaction, and what goes wrong stays where it belongs."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from relay.bell import Bell
from relay.errors import StoreError
from relay.model import TaskStatus
from relay.stores.sqlite import SqliteStore, open_store
from relay.stores.sqlite.connection import Readers, connect_writer
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer
from tests.stores.making import Ids, Shelf, link

pytestmark = pytest.mark.anyio

_ADD = "INSERT INTO numbers (number) VALUES (:number)"


class Desk:
    """A writer on a table of its own, which knows how often it committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.statements: list[str] = []
        self.forgotten = 0
        self.writer = Writer(connection, Bell(), self._forget)

    def _forget(self) -> None:
        self.forgotten += 1

    async def add(self, number: int) -> int:
        return await self.writer.write(self._add_all, number)

    def _add_all(self, transaction: Transaction, numbers: Sequence[int]) -> list[int]:
        transaction.run_each(_ADD, [{"number": number} for number in numbers])
        return list(numbers)

    async def add_alone(self, number: int) -> None:
        def add(transaction: Transaction) -> None:
            transaction.run(_ADD, {"number": number})

        await self.writer.write_alone(add)

    @property
    def commits(self) -> int:
        return self.statements.count("COMMIT")

    def numbers(self) -> list[int]:
        return [number for number, in self.connection.execute("SELECT number FROM numbers ORDER BY number")]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    path = tmp_path / "numbers.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY) STRICT")
    connection = connect_writer(path)
    desk = Desk(connection)
    connection.set_trace_callback(desk.statements.append)
    yield desk
    await desk.writer.close()


async def test_all_that_waits_shares_one_commit(desk: Desk) -> None:
    assert await asyncio.gather(*(desk.add(number) for number in range(100))) == list(range(100))
    assert desk.commits == 1


async def test_what_arrives_during_a_commit_shares_the_next(desk: Desk) -> None:
    async def add_twice(number: int) -> None:
        await desk.add(number)
        await desk.add(number + 100)

    await asyncio.gather(*(add_twice(number) for number in range(50)))
    assert desk.commits == 2
    assert len(desk.numbers()) == 100


async def test_kinds_share_a_commit_too(desk: Desk) -> None:
    await asyncio.gather(*(desk.add(number) if number % 2 else desk.add_alone(number) for number in range(40)))
    assert desk.commits == 1


async def test_a_batch_has_a_largest_size(desk: Desk) -> None:
    await asyncio.gather(*(desk.add(number) for number in range(600)))
    assert desk.commits == 5


async def test_the_culprit_alone_fails_and_what_was_learnt_is_forgotten(desk: Desk) -> None:
    await desk.add(7)
    outcomes = await asyncio.gather(*(desk.add(number) for number in range(10)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(StoreError) == 1
    assert isinstance(outcomes[7], StoreError)
    assert isinstance(outcomes[7].__cause__, sqlite3.IntegrityError)
    assert desk.numbers() == list(range(10))
    assert desk.forgotten == 2


async def test_a_fault_of_the_file_fails_all_that_wait_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.stores.sqlite.writer.BUSY_MS", 50)
    path = next(iter([row[2] for row in desk.connection.execute("PRAGMA database_list")]))
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(5):  # one wait for the stranger, not one for each
            outcomes = await asyncio.gather(*(desk.add(number) for number in range(500)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreError}
        stranger.execute("ROLLBACK")
    assert await desk.add(1) == 1


async def test_a_full_disk_fails_the_call_and_the_store_goes_on_once_there_is_room(desk: Desk) -> None:
    [[pages]] = desk.connection.execute("PRAGMA page_count")
    desk.connection.execute(f"PRAGMA max_page_count = {pages}")
    outcomes = await asyncio.gather(*(desk.add(number) for number in range(2_000)), return_exceptions=True)
    assert StoreError in {type(outcome) for outcome in outcomes}
    desk.connection.execute("PRAGMA max_page_count = 100000")
    told = {outcome for outcome in outcomes if isinstance(outcome, int)}
    assert set(desk.numbers()) == told
    assert await desk.add(5_000) == 5_000


async def test_a_writer_that_dies_fails_what_waits_and_every_later_call(desk: Desk) -> None:
    call = asyncio.create_task(desk.add(1))
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "sqlite writer"]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(StoreError, match="writer has stopped"):
        await call
    with pytest.raises(StoreError, match="writer has stopped"):
        await desk.add(2)
    assert desk.numbers() == []
    assert not desk.connection.in_transaction


async def test_a_writer_cancelled_at_any_moment_leaves_no_transaction_open(tmp_path: Path) -> None:
    for turns in range(8):
        store = await open_store(tmp_path / f"{turns}.db", bell=Bell(), link=link, new_id=Ids())
        shelf = Shelf(store)
        await shelf.add_account("default")
        task = await shelf.add_open_task()
        call = asyncio.create_task(shelf.finish(task))
        [writer] = [one for one in asyncio.all_tasks() if one.get_name() == "sqlite writer"]
        for _ in range(turns):
            await asyncio.sleep(0.0003)
        writer.cancel()
        [outcome] = await asyncio.gather(call, return_exceptions=True)
        ended = (await shelf.found(task)).status is TaskStatus.SUCCEEDED
        assert ended or isinstance(outcome, StoreError)
        with pytest.raises(StoreError):
            await store.check()
        await store.close()


async def test_a_reader_never_waits_for_the_writer(tmp_path: Path) -> None:
    store: SqliteStore = await open_store(tmp_path / "relay.db", bell=Bell(), link=link, new_id=Ids())
    shelf = Shelf(store)
    await shelf.add_account("default")
    task = await shelf.add_open_task()
    with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        call = asyncio.create_task(shelf.finish(task))
        async with asyncio.timeout(3):
            assert [(await shelf.found(task)).status for _ in range(50)] == [TaskStatus.SUBMITTED] * 50
        assert not call.done()
        stranger.execute("ROLLBACK")
        await call
    await store.close()


async def test_readers_cannot_write(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "relay.db", bell=Bell(), link=link, new_id=Ids())
    readers = await Readers.open(tmp_path / "relay.db")
    with pytest.raises(StoreError, match="readonly"):
        await readers.fetch("UPDATE probe SET count = 1", {})
    await readers.close()
    await store.close()
