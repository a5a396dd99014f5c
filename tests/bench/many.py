"""One to three processes that share a PostgreSQL, and all that stands around them for one run."""

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from relay.bell import Bell
from relay.ids import new_id
from relay.model import Account
from relay.ports import Role, Store
from relay.stores.opening import open_store
from tests.bench.filling import link, open_task
from tests.bench.load import Load, Told
from tests.bench.program import PATIENCE, Sink, drive, open_sink
from tests.bench.stage import cpu_seconds, ended_cpu_seconds, environment
from tests.e2e.harness import Process, free_port
from tests.postgres import PostgresServer

# As a server that keeps what it was given; the tests' own does not wait for the disk.
OPTIONS: Final = ("fsync=on", "full_page_writes=on", "shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=15min")
CONNECTIONS: Final = 32  # to each process: as many as it lets in at least, since what is refused comes again at once
_OK: Final = 200
_AT_ONCE: Final = 2000
_numbers: Final = itertools.count(1)


class Stage:
    """What a scenario plays on."""

    def __init__(self, relays: Sequence[tuple[Process, int]], sink: Sink, database: str, server: PostgresServer) -> None:
        self._relays = relays
        self.sink = sink
        self._database = database
        self._server = server

    @property
    def url(self) -> str:
        """Of one of them."""
        return self._relays[0][0].url

    async def call_back(self, files: Sequence[str], counts: Sequence[int]) -> list[Told]:
        """To each process the callbacks of one of the files, all of them accepted in the end."""
        loads = [Load(port=port, requests=requests, connections=CONNECTIONS)
                 for (_, port), requests in zip(self._relays, files, strict=True)]
        tellings = await asyncio.gather(*(drive(load) for load in loads))
        for told, number in zip(tellings, counts, strict=True):
            assert told.answers == {_OK: number}, f"{told.answers} instead of {number} times 200"
        return list(tellings)

    def cpu(self) -> float:
        """Seconds of CPU that all of them have used until now."""
        return sum(cpu_seconds(relay.pid) for relay, _ in self._relays)

    def server_cpu(self) -> float:
        """The same of PostgreSQL: of its first process, and of all that it has started."""
        first = self._server.pid
        return cpu_seconds(first) + ended_cpu_seconds(first) + sum(map(_cpu_seconds_if_there, _children(first)))

    async def nothing_pending(self) -> float:
        """When every delivery had been recorded as delivered: a moment of CLOCK_MONOTONIC."""
        connection = await asyncpg.connect(self._database)
        try:
            async with asyncio.timeout(PATIENCE):
                while await connection.fetchval("SELECT EXISTS (SELECT FROM deliveries WHERE status = 'pending')"):
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()
        return time.monotonic()


def _cpu_seconds_if_there(pid: int) -> float:
    try:
        return cpu_seconds(pid)
    except FileNotFoundError:
        return 0.0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.asynccontextmanager
async def open_many(server: PostgresServer, filled: str, processes: int) -> AsyncIterator[Stage]:
    """So many processes on a copy of the database `filled`; Relay's default settings, but for where things are."""
    database = await copy_of(server, filled)
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        async with contextlib.AsyncExitStack() as stack:
            sink = await stack.enter_async_context(open_sink())
            relays = []
            for number in range(processes):
                folder, port = Path(name) / str(number), free_port()
                folder.mkdir()
                env = {**environment(folder, port), "RELAY_DATABASE_URL": database}
                relay = await Process("serve", port=port, env=env, log=folder / "log").start()
                stack.push_async_callback(relay.stop)
                relays.append((relay, port))
            yield Stage(relays, sink, database, server)


async def copy_of(server: PostgresServer, filled: str) -> str:
    """The URL of a new database that is as `filled` is."""
    name = f"copy_{next(_numbers)}"
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {filled.rpartition('/')[2]}")
    finally:
        await connection.close()
    return server.url_of(name)


async def open_shared_store(url: str, *, first_wait: float = 0.0) -> Store:
    store, _ = await open_store(url, bell=Bell(), link=link, new_id=new_id, first_wait=first_wait, role=Role.API,
                                clock=lambda: datetime.now(UTC))
    return store


async def fill_shared(url: str, count: int, each: Callable[[int], dict[str, Any]]) -> list[str]:
    """So many tasks that wait for APIFRAME's callback, and are as `each` says of its number; their ids."""
    store = await open_shared_store(url)
    try:
        account = await store.add_account(Account(id=new_id("acc"), name="default", created_at=datetime.now(UTC)))
        tasks = [open_task(account.id, number, **each(number)) for number in range(count)]
        for start in range(0, count, _AT_ONCE):
            await asyncio.gather(*(store.add_task(task, due_at=None) for task in tasks[start:start + _AT_ONCE]))
    finally:
        await store.close()
    return [task.id for task in tasks]
