"""What receivers that hang do to the others: the time from an event to its delivery, for subscriptions that answer at once, first alone,
then beside as many that never answer. A real relay in a process of its own, real sockets.

Each run makes the same number of events at the same rate, each for every subscription that there is. The two kinds of run take turns, so
that whatever else the machine does falls on both. To leave the receivers' own work out of the figures they are bare sockets.
"""

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from tests.bench.figure import Figure, most
from tests.bench.scale import Scale
from tests.e2e.harness import ADMIN_KEY, Api, Process, free_port

SUBSCRIPTIONS: Final = 20
EVENTS_PER_SECOND: Final = 6.0
_WARM_UP: Final = 10
_TIMEOUT: Final = "5s"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Receivers:
    """Subscribers on one port: those under /ok answer at once and note when, those under /hang never do."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.hanging = 0
        self._arrived = asyncio.Condition()
        self.url = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Receivers"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def holds(self, number: int) -> None:
        """Until so many deliveries have come to those that answer."""
        async with asyncio.timeout(60), self._arrived:
            await self._arrived.wait_for(lambda: len(self.delays) >= number)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                await self._take(head, await reader.readexactly(length), writer)
        writer.close()

    async def _take(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        now = time.time()
        if head.startswith(b"POST /hang"):
            self.hanging += 1
            return
        writer.write(_ANSWER)
        async with self._arrived:
            self.delays.append(now - datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp())
            self._arrived.notify_all()


async def measure(scale: Scale) -> list[Figure]:
    """Both kinds of run, and the ratio of their 99th percentiles."""
    alone, beside = [], []
    for _ in range(scale.isolation_rounds):
        alone.append(_p99(await _measure(scale.isolation_events, hanging=0)))
        beside.append(_p99(await _measure(scale.isolation_events, hanging=SUBSCRIPTIONS)))
    ratios = [slow / quick for slow, quick in zip(beside, alone, strict=True)]
    return [
        Figure(scenario="isolation", name=f"p99, {SUBSCRIPTIONS} subscriptions alone", unit="ms", runs=alone),
        Figure(scenario="isolation", name=f"p99, beside {SUBSCRIPTIONS} that hang", unit="ms", runs=beside),
        Figure(scenario="isolation", name="ratio of the two", unit="", runs=ratios, goal=most(1.5)),
    ]


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[98] * 1000


async def _measure(events: int, *, hanging: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        env = {"RELAY_DATA_DIR": folder, "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_ALLOW_CIDRS": "127.0.0.0/8",
               "RELAY_DELIVERY_TIMEOUT": _TIMEOUT, "RELAY_SHUTDOWN_GRACE": "1s", "RELAY_LOG_LEVEL": "warning",
               "RELAY_PORT": str(port := free_port())}
        relay = await Process("serve", port=port, env=env, log=Path(folder) / "log").start()
        try:
            async with Receivers().open() as receivers, Api(relay.url) as api:
                return await _drive(api, receivers, events, hanging)
        finally:
            await relay.stop()


async def _drive(api: Api, receivers: Receivers, events: int, hanging: int) -> list[float]:
    for number in range(SUBSCRIPTIONS):
        await api.subscribe(f"{receivers.url}/ok/{number}")
    for number in range(hanging):
        await api.subscribe(f"{receivers.url}/hang/{number}")
    begun = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for number in range(_WARM_UP + events):
            await asyncio.sleep(max(0.0, begun + number / EVENTS_PER_SECOND - asyncio.get_running_loop().time()))
            group.create_task(_trigger(api), name="event")
    await receivers.holds(SUBSCRIPTIONS * (_WARM_UP + events))
    if hanging and not receivers.hanging:
        raise AssertionError("nothing came to those that hang")
    return receivers.delays[SUBSCRIPTIONS * _WARM_UP:]


async def _trigger(api: Api) -> None:
    answer = await api.post("/api/v1/events", json={"type": "task.succeeded"})
    assert answer.status_code == 202, answer.text
