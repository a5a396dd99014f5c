"""What is rung in one process is heard in the others, at once if all goes well, and at their next heartbeat if not."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import asyncpg
import msgspec
import pytest

from relay.bell import Bell, Listener
from relay.stores.postgres.hint import Hints
from relay.stores.postgres.target import read_target
from tests.postgres import PostgresServer
from tests.stores.cutting import Cutter
from tests.stores.processes import Crew

pytestmark = pytest.mark.anyio

HANG = 30.0


class Ear:
    """One process, as far as it tells and hears hints."""

    def __init__(self, url: str, name: str) -> None:
        self.bell = Bell()
        self.hints = Hints(read_target(url), self.bell, name)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Ear"]:
        """It hears from here on."""
        with self.bell.listen("beginning") as begun:
            running = asyncio.create_task(self.hints.run())
            try:
                assert await begun.wait(HANG)
                yield self
            finally:
                running.cancel()
                await asyncio.wait([running])

    async def hears(self, listener: Listener) -> bool:
        return await listener.wait(HANG)


@pytest.fixture
async def ears(database: str) -> AsyncIterator[list[Ear]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Ear(database, f"proc_{number}").open()) for number in range(3)]


async def test_what_is_told_is_heard_by_all_others(ears: list[Ear]) -> None:
    with ears[1].bell.listen("deliveries") as one, ears[2].bell.listen("deliveries") as other:
        ears[0].hints.tell(["polls", "deliveries"])
        assert await ears[1].hears(one)
        assert await ears[2].hears(other)


async def test_nobody_hears_what_it_told_itself_nor_what_was_not_told(ears: list[Ear]) -> None:
    teller, other, _ = ears
    with teller.bell.listen("deliveries") as own, teller.bell.listen("polls") as untold, teller.bell.listen("answer") as answered:
        teller.hints.tell(["deliveries"])
        with other.bell.listen("deliveries") as rung:
            teller.hints.tell(["deliveries"])
            assert await other.hears(rung)
        other.hints.tell(["answer"])
        assert await teller.hears(answered)
        assert not await own.wait(0)
        assert not await untold.wait(0)


async def test_what_is_too_much_for_one_hint_is_heard_as_everything(ears: list[Ear]) -> None:
    with ears[1].bell.listen("task:task_500") as one, ears[1].bell.listen("moves") as untold:
        ears[0].hints.tell([f"task:task_{number}" for number in range(2_000)])
        assert await ears[1].hears(one)
        assert await untold.wait(0)


async def test_what_is_told_at_once_goes_together(ears: list[Ear], database: str) -> None:
    connection, told = await asyncpg.connect(database), asyncio.Queue[str]()
    await connection.add_listener("relay", lambda *heard: told.put_nowait(heard[-1]))
    for number in range(50):
        ears[0].hints.tell([f"task:{number}"])
    try:
        async with asyncio.timeout(HANG):
            while "task:0" not in (heard := (await told.get()).split("\n")):
                continue  # each ear listens for itself once
    finally:
        await connection.close()
    assert heard == ["proc_0", *(f"task:{number}" for number in range(50))]


async def test_after_a_connection_was_lost_everything_is_looked_at_and_hints_are_heard_again(ears: list[Ear], database: str) -> None:
    connection = await asyncpg.connect(database)
    with ears[1].bell.listen("events:acc_1") as rung:
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        assert await ears[1].hears(rung)
    with ears[1].bell.listen("deliveries") as rung:
        ears[0].hints.tell(["deliveries"])
        assert await ears[1].hears(rung)
    await connection.close()


async def test_a_database_that_is_not_there_costs_one_line_and_hints_come_once_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with PostgresServer() as server:
        database = server.new_database()
        server.stop()
        ear, other = Ear(database, "proc_a"), Ear(database, "proc_b")
        with ear.bell.listen("anything") as rung:
            running = [asyncio.create_task(one.hints.run()) for one in (ear, other)]
            other.hints.tell(["polls"])
            assert not await rung.wait(2)
            server.start()
            assert await ear.hears(rung)
            for one in running:
                one.cancel()
            await asyncio.wait(running)
    assert [record.message for record in caplog.records if "hints" in record.message].count(caplog.records[0].message) == 2


class Reader(logging.Handler):
    """Waits for something to be logged."""

    def __init__(self) -> None:
        super().__init__()
        self.read = asyncio.Queue[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.read.put_nowait(record.getMessage())


@contextmanager
def reading() -> Iterator[asyncio.Queue[str]]:
    """What is said of hints from here on."""
    reader, log = Reader(), logging.getLogger("relay.stores.postgres.hint")
    log.addHandler(reader)
    try:
        yield reader.read
    finally:
        log.removeHandler(reader)


async def test_hints_that_do_not_come_through_are_missed(
        postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database in which nobody tells anything stands for a pooler that lets nothing through."""
    monkeypatch.setattr("relay.stores.postgres.hint._ECHO_SECONDS", 0.2)
    ear = Ear(database, "proc_a")
    ear.hints = Hints(msgspec.structs.replace(read_target(database), hints_dsn=postgres.url), ear.bell, "proc_a")
    with reading() as read:
        async with ear.open(), asyncio.timeout(HANG):
            assert "nothing comes through" in await read.get()


async def test_a_connection_with_nobody_at_its_other_end_is_made_anew(
        postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.stores.postgres.hint._QUIET_SECONDS", 0.05)
    monkeypatch.setattr("relay.stores.postgres.connection._STATEMENT_SECONDS", 1.0)
    cutter, ear = Cutter(postgres.port), Ear(database, "proc_a")
    through = database.replace(f":{postgres.port}/", f":{await cutter.start()}/")
    ear.hints = Hints(msgspec.structs.replace(read_target(database), hints_dsn=through), ear.bell, "proc_a")
    with reading() as read:
        async with ear.open(), asyncio.timeout(HANG):
            await ear.hints._echo.wait()  # noqa: SLF001
            cutter.goes_on.clear()
            assert "hints of other processes are not heard" in await read.get()
            with ear.bell.listen("anything") as rung:
                cutter.goes_on.set()
                assert await ear.hears(rung)
    await cutter.close()


async def test_whoever_hears_itself_misses_nothing(ears: list[Ear], caplog: pytest.LogCaptureFixture) -> None:
    with ears[1].bell.listen("deliveries") as rung:
        ears[0].hints.tell(["deliveries"])
        assert await ears[1].hears(rung)
    assert "hints" not in caplog.text


def test_the_url_may_name_the_server_itself() -> None:
    target = read_target("postgresql://relay:secret@pooler:6432/relay?sslmode=require&listen=db.example:5433&statement_cache_size=0")
    assert target.dsn == "postgresql://relay:secret@pooler:6432/relay?sslmode=require"
    assert target.hints_dsn == "postgresql://relay:secret@db.example:5433/relay?sslmode=require"


async def test_a_commit_tells_the_others_what_it_rang(database: str) -> None:
    async with AsyncExitStack() as stack:
        teller = await Crew(database, stack).start_with_hints()
        connection, told = await asyncpg.connect(database), asyncio.Queue[str]()
        await connection.add_listener("relay", lambda *heard: told.put_nowait(heard[-1]))
        await teller.subscribe()
        delivery = await teller.deliver()
        heard: set[str] = set()
        async with asyncio.timeout(HANG):
            while not {teller.name, "deliveries", "room:kie", f"events:{teller.account_id}", f"task:{delivery.task_id}"} <= heard:
                heard.update((await told.get()).split("\n"))
        await connection.close()


async def test_every_other_heartbeat_looks_at_everything_though_no_hint_came(database: str) -> None:
    async with AsyncExitStack() as stack:
        process = await Crew(database, stack).start()
        await process.beat()
        with process.bell.listen("events:acc_1") as rung:
            heard = []
            for _ in range(4):
                await process.beat(seconds=1.0)
                heard.append(await rung.wait(0))
        assert heard == [False, True, False, True]
