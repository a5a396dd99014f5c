"""Group commit: what waits together shares a transaction, and what goes wrong stays where it belongs."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
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
        self.threads: list[tuple[str, bool]] = []  # the first word of each statement, and whether it was made in the event loop
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._has_begun_aside = asyncio.Event()
        self.forgotten = 0
        self.writer = Writer(connection, Bell(), self._forget)

    def trace(self, statement: str) -> None:
        self.statements.append(statement)
        is_in_loop = threading.get_ident() == self._loop_thread
        self.threads.append((statement.split(maxsplit=1)[0], is_in_loop))
        if statement == "BEGIN IMMEDIATE" and not is_in_loop:
            self._loop.call_soon_threadsafe(self._has_begun_aside.set)

    async def until_it_begins_aside(self) -> None:
        """Until the writer's thread waits for its turn to write, if somebody else has it."""
        self._has_begun_aside.clear()
        async with asyncio.timeout(10):
            await self._has_begun_aside.wait()

    @property
    def path(self) -> str:
        [[_, _, path]] = self.connection.execute("PRAGMA database_list")
        return str(path)

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
    connection.set_trace_callback(desk.trace)
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
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as stranger:
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


def test_a_commit_of_the_writer_waits_for_the_disk(tmp_path: Path) -> None:
    with closing(connect_writer(tmp_path / "relay.db")) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_what_a_change_could_have_to_undo_is_not_written_to_a_file(tmp_path: Path) -> None:
    with closing(connect_writer(tmp_path / "relay.db")) as connection:
        assert connection.execute("PRAGMA temp_store").fetchone()[0] == 2


async def test_the_statements_of_a_change_are_made_in_the_event_loop_and_its_commit_is_not(desk: Desk) -> None:
    await asyncio.gather(desk.add(1), desk.add_alone(2))
    assert desk.threads == [("BEGIN", True), ("INSERT", True), ("INSERT", True), ("COMMIT", False)]


async def test_a_wait_for_a_stranger_is_not_made_in_the_event_loop(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        call = asyncio.create_task(desk.add(1))
        await desk.until_it_begins_aside()
        assert not call.done()
        stranger.execute("ROLLBACK")
        await call
    assert desk.threads[-2:] == [("INSERT", True), ("COMMIT", False)]


async def test_a_long_change_has_a_transaction_of_its_own_and_holds_up_the_event_loop_with_nothing(desk: Desk) -> None:
    def add(transaction: Transaction) -> None:
        transaction.run(_ADD, {"number": 100})

    await asyncio.gather(desk.add(1), desk.add(2), desk.writer.write_long(add), desk.add(3), desk.add(4))
    short = [("BEGIN", True), ("INSERT", True), ("INSERT", True), ("COMMIT", False)]
    long = [("PRAGMA", False), ("BEGIN", False), ("PRAGMA", False), ("INSERT", False), ("COMMIT", False)]
    assert desk.threads == [*short, *long, *short]


async def test_a_long_change_waits_for_a_stranger_and_gives_up_in_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(transaction: Transaction) -> None:
        transaction.run(_ADD, {"number": 100})

    with closing(sqlite3.connect(desk.path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("relay.stores.sqlite.writer.BUSY_MS", 50)
        with pytest.raises(StoreError, match="locked"):
            await desk.writer.write_long(add)
        monkeypatch.undo()
        call = asyncio.create_task(desk.writer.write_long(add))
        await desk.until_it_begins_aside()
        stranger.execute("ROLLBACK")
        await call
    assert desk.numbers() == [100]


async def test_more_than_may_wait_is_refused_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.stores.sqlite.writer._MOST_WAITING", 10)
    outcomes = await asyncio.gather(*(desk.add(number) for number in range(15)), return_exceptions=True)
    assert outcomes[:10] == list(range(10))
    assert [str(outcome) for outcome in outcomes[10:]] == ["10 changes are waiting to be written already"] * 5
    assert desk.numbers() == list(range(10))
    assert await desk.add(10) == 10


async def test_what_waits_when_the_writer_is_closed_is_committed(desk: Desk) -> None:
    calls = [asyncio.create_task(desk.add(number)) for number in range(300)]
    await asyncio.sleep(0)
    await desk.writer.close()
    assert [call.result() for call in calls] == list(range(300))
    with pytest.raises(StoreError, match="closed"):
        await desk.add(1_000)


async def test_whoever_closes_a_writer_that_is_being_closed_waits_until_it_is(desk: Desk) -> None:
    call = asyncio.create_task(desk.add(1))
    await asyncio.sleep(0)
    closers = [asyncio.create_task(desk.writer.close()) for _ in range(3)]
    await asyncio.wait(closers, return_when=asyncio.FIRST_COMPLETED)
    assert call.done()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        desk.connection.execute("SELECT 1")
    await asyncio.gather(*closers)
    await desk.writer.close()


async def test_a_close_that_was_cancelled_can_be_made_again(desk: Desk) -> None:
    call = asyncio.create_task(desk.add(1))
    await asyncio.sleep(0)
    closing_it = asyncio.create_task(desk.writer.close())
    await asyncio.sleep(0)
    closing_it.cancel()
    await desk.writer.close()
    assert call.result() == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        desk.connection.execute("SELECT 1")


class Claimer:
    """Adds a number for a caller who is cancelled before he hears of it, so that it is to be removed again."""

    def __init__(self, desk: Desk, then: Callable[[], object]) -> None:
        self._then = then
        self._call = asyncio.create_task(desk.writer.write_alone(self._claim, undo=self._unclaim))

    async def gone(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self._call

    def _claim(self, transaction: Transaction) -> int:
        transaction.run(_ADD, {"number": 7})
        transaction.afterwards(self._follow)
        self._call.cancel()
        return 7

    def _follow(self) -> None:
        self._then()

    @staticmethod
    def _unclaim(number: int) -> Callable[[Transaction], None]:
        return lambda transaction: transaction.run("DELETE FROM numbers WHERE number = :number", {"number": number})


async def test_what_a_caller_who_is_gone_took_is_given_back(desk: Desk) -> None:
    seen: list[list[int]] = []
    await Claimer(desk, lambda: seen.append(desk.numbers())).gone()
    await desk.add(1)
    assert (seen, desk.numbers()) == ([[7]], [1])


async def test_it_is_given_back_too_if_the_file_takes_nothing_for_a_while(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.stores.sqlite.writer.BUSY_MS", 50)
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as stranger:
        await Claimer(desk, lambda: stranger.execute("BEGIN IMMEDIATE")).gone()
        for number in range(2):
            with pytest.raises(StoreError, match="locked"):
                await desk.add(number)
        stranger.execute("ROLLBACK")
    await desk.add(2)
    await desk.add(3)
    assert desk.numbers() == [2, 3]


async def test_what_is_to_follow_a_commit_follows_it_in_the_loop_before_the_next_change(desk: Desk) -> None:
    seen: list[tuple[int, bool]] = []

    def look() -> None:
        with closing(sqlite3.connect(desk.path)) as other:
            [[count]] = other.execute("SELECT count(*) FROM numbers")
        seen.append((count, threading.get_ident() == loop_thread))

    def add(number: int) -> Callable[[Transaction], None]:
        def change(transaction: Transaction) -> None:
            transaction.run(_ADD, {"number": number})
            transaction.afterwards(look)

        return change

    loop_thread = threading.get_ident()
    await asyncio.gather(*(desk.writer.write_long(add(number)) for number in range(3)))
    assert seen == [(1, True), (2, True), (3, True)]
    with pytest.raises(StoreError):
        await desk.writer.write_alone(add(0))
    assert len(seen) == 3


async def test_a_fault_in_what_follows_a_commit_costs_neither_the_others_nor_the_writer(
        desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []

    def add(transaction: Transaction) -> None:
        transaction.run(_ADD, {"number": 1})
        transaction.afterwards(lambda: called.append(1 // 0))
        transaction.afterwards(lambda: called.append(2))

    await desk.writer.write_alone(add)
    assert await desk.add(2) == 2
    assert called == [2]
    assert [record.getMessage() for record in caplog.records] == ["a fault in Relay after a commit"]
