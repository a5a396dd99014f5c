"""A real `relay serve` with all that stands around it for one run: its own folder, a copy of a database, a sink, subscriptions."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, Self

from tests.bench.filling import SECRET_KEY
from tests.bench.load import Load, Told
from tests.bench.program import PATIENCE, Sink, drive, open_sink
from tests.e2e.harness import ADMIN_KEY, Api, Process, free_port

_TICK: Final = os.sysconf("SC_CLK_TCK")
_MEBIBYTE: Final = 1024.0  # in the kernel's kB
_OK: Final = 200


class Stage:
    """What a scenario plays on."""

    def __init__(self, relay: Process, sink: Sink, folder: Path, port: int) -> None:
        self._relay = relay
        self.sink = sink
        self.folder = folder
        self.port = port
        self.database = folder / "relay.db"

    async def subscribe(self, count: int) -> Self:
        async with Api(self._relay.url) as api:
            for number in range(count):
                await api.subscribe(f"{self.sink.url}/{number}")
        return self

    async def call_back(self, requests: str, count: int, *, rate: float | None = None, stamps: Path | None = None,
                        connections: int = 64) -> Told:
        """Callbacks of the file `requests`, all of them accepted in the end."""
        told = await drive(Load(port=self.port, requests=requests, connections=connections, rate=rate,
                                stamps=str(stamps) if stamps else None))
        assert told.answers == {_OK: count}, f"{told.answers} instead of {count} times 200"
        return told

    async def warm_up(self, requests: str, count: int, subscriptions: int) -> None:
        """Connections are open, lanes wide, what is loaded late is loaded; and nothing of it is left over."""
        self.sink.expect(count * subscriptions)
        await self.call_back(requests, count)
        await self.sink.seen()
        await self.nothing_pending()

    @property
    def pid(self) -> int:
        return self._relay.pid

    def cpu(self) -> float:
        """Seconds of CPU that Relay has used until now."""
        return cpu_seconds(self.pid)

    def memory(self) -> float:
        """What is resident now, in MiB."""
        return resident(self.pid)

    def peak_memory(self) -> float:
        return resident(self.pid, "VmHWM")

    async def nothing_pending(self) -> float:
        """When every delivery had been recorded as delivered: a moment of CLOCK_MONOTONIC."""
        return await self._gone("SELECT 1 FROM deliveries WHERE status = 'pending' LIMIT 1")

    async def nothing_open(self) -> float:
        """The same for every task that the provider is at work on."""
        return await self._gone("SELECT 1 FROM tasks WHERE status IN ('submitted', 'processing') LIMIT 1")

    async def _gone(self, query: str) -> float:
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            async with asyncio.timeout(PATIENCE):
                while connection.execute(query).fetchone():
                    await asyncio.sleep(0.01)
        return time.monotonic()

    async def stop(self) -> None:
        await self._relay.stop()

    async def kill(self) -> None:
        """kill -9."""
        await self._relay.kill()

    async def start(self) -> None:
        """Once more, at the same address."""
        await self._relay.start()


@contextlib.asynccontextmanager
async def open_stage(database: Path | None = None, *, subscriptions: int = 0, answer: str = "",
                     settings: dict[str, str] | None = None, serve: Sequence[str] = ("relay", "serve")) -> AsyncIterator[Stage]:
    """Relay's default settings, but for where things are. `answer`: what the sink says, see there; `{sink}` in a setting is its URL.
    `serve`: the module that is started, and its arguments."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        if database is not None:
            shutil.copyfile(database, folder / "relay.db")
        port = free_port()
        async with open_sink(answer) as sink:
            given = {key: value.replace("{sink}", sink.url) for key, value in (settings or {}).items()}
            module, *arguments = serve
            env = {**environment(folder, port), **given}
            relay = await Process(*arguments, module=module, port=port, env=env, log=folder / "log").start()
            try:
                yield await Stage(relay, sink, folder, port).subscribe(subscriptions)
            finally:
                await relay.stop()


def environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "RELAY_DATA_DIR": str(folder), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_SECRET_KEYS": SECRET_KEY, "RELAY_PORT": str(port),
        "RELAY_PUBLIC_URL": f"http://127.0.0.1:{port}", "RELAY_ALLOW_CIDRS": "127.0.0.0/8", "RELAY_LOG": "json", "RELAY_LOG_LEVEL": "info",
    }


def cpu_seconds(pid: int) -> float:
    return _ticks(pid, 11) / _TICK


def ended_cpu_seconds(pid: int) -> float:
    """Of the processes that it has started and that have ended."""
    return _ticks(pid, 13) / _TICK


def _ticks(pid: int, place: int) -> int:
    """What stands there in the kernel's table, for the program and for the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[place]) + int(fields[place + 1])


def resident(pid: int, name: str = "VmRSS") -> float:
    """MiB; `VmHWM`: the most there ever were."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / _MEBIBYTE
