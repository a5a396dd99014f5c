"""Twenty thousand events to two hundred subscriptions, three in ten of which are faulty, each in its own way: at the end every delivery
stands as its receiver deserves, and the receivers have counted what Relay has. With a kill -9 in the middle, and without one.

Events are made as in real life: a task is watched, and the provider calls back. What hangs and what is slowed down hears of fewer of
them, since each of its attempts takes its time.
"""

import asyncio
import contextlib
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from tests.bench.faulty import Ledger, dead_port
from tests.bench.program import Program, running
from tests.e2e.harness import ADMIN_KEY, Api, Process, free_port

_SECRET_HEADER: Final = "x-webhook-secret"
_KEY: Final = {"authorization": f"Bearer {ADMIN_KEY}"}
_HEARING: Final = 4  # subscriptions of each event
_CALLERS: Final = 16
_ATTEMPTS: Final = 3
_PATIENCE: Final = 900.0
_FAULTY: Final = ("broken", "recovering", "refused", "hanging", "slow", "busy", "gone", "moved", "torn", "endless", "garbage")
_LONG: Final = ("hanging", "busy")
_ENDS: Final = {
    "healthy": "delivered", "recovering": "delivered", "slow": "delivered", "busy": "delivered", "endless": "delivered",
    "broken": "exhausted", "refused": "exhausted", "hanging": "exhausted", "moved": "exhausted", "torn": "exhausted",
    "garbage": "exhausted", "gone": "held",
}
"""How every delivery to such a receiver ends."""

_CALLBACK: Final = {"task_id": "up-1", "task_type": "flux-imagine", "original_image_url": "https://images.example.com/o.png",
                    "image_url": "https://images.example.com/1.png"}


class Size(Struct, frozen=True, kw_only=True):
    """`rare`: how many events of each group those hear of that take their time."""

    events: int
    subscriptions: int
    rare: int
    is_killed: bool = False

    @property
    def groups(self) -> int:
        return self.subscriptions // _HEARING


class Subscribed(Struct, frozen=True, kw_only=True):
    """A subscription and the receiver behind it."""

    id: str
    kind: str
    path: str


class Row(Struct, frozen=True, kw_only=True):
    """One subscription at the end: what Relay has recorded, and what its receiver has counted."""

    kind: str
    expected: int
    statuses: dict[str, int]
    attempts: int
    requests: int
    delivered: set[str]
    accepted: Counter[str]


class Report(Struct, frozen=True, kw_only=True):
    """What came of a run."""

    size: Size
    rows: list[Row]
    followed: int
    made_seconds: float
    all_seconds: float

    def problems(self) -> list[str]:
        """Everything that is not as it has to be."""
        found = [f"{row.kind}: {problem}" for row in self.rows for problem in _problems(row, is_exact=not self.size.is_killed)]
        return found + (["a redirect was followed"] if self.followed else [])


async def run() -> None:
    """Prints both runs, full size."""
    for is_killed in (False, True):
        report = await soak(Size(events=20_000, subscriptions=200, rare=25, is_killed=is_killed))
        _tell(table(report))
        _tell("\n".join(report.problems()) or "Every delivery is in its right final state, and the counts are equal.\n")


async def soak(size: Size) -> Report:
    with tempfile.TemporaryDirectory() as name, dead_port() as dead:
        folder = Path(name)
        async with running("faulty") as receivers:
            url = f"http://127.0.0.1:{await receivers.hear(int)}"
            async with _relay(folder) as relay:
                subscribed = await _subscribe(relay, size, url, dead)
                begun = time.monotonic()
                await _make_events(relay, size)
                made_seconds = time.monotonic() - begun
                await _nothing_pends(relay)
                all_seconds = time.monotonic() - begun
            ledger = await _ledger(receivers, folder)
        return Report(size=size, rows=_rows(folder, size, subscribed, ledger), made_seconds=made_seconds, all_seconds=all_seconds,
                      followed=sum(count for path, count in ledger.requests.items() if path.startswith("/followed")))


@contextlib.asynccontextmanager
async def _relay(folder: Path) -> AsyncIterator[Process]:
    port = free_port()
    env = {"RELAY_DATA_DIR": str(folder), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_ALLOW_CIDRS": "127.0.0.0/8", "RELAY_PORT": str(port),
           "RELAY_PUBLIC_URL": f"http://127.0.0.1:{port}", "RELAY_LOG_LEVEL": "warning", "RELAY_DELIVERY_TIMEOUT": "2s",
           "RELAY_RETRY_SCHEDULE": "0s,1s,2s", "RELAY_APIFRAME_API_KEY": "none", "RELAY_SHUTDOWN_GRACE": "5s"}
    relay = await Process("serve", port=port, env=env, log=folder / "relay.log").start()
    try:
        yield relay
    finally:
        await relay.stop()


async def _subscribe(relay: Process, size: Size, url: str, dead: int) -> list[Subscribed]:
    """Three in ten are faulty, of all kinds in turn; those of one group are neighbours, so every group has some of them."""
    made = []
    async with Api(relay.url) as api:
        for number in range(size.subscriptions):
            fault = number // 10 * 3 + number % 10
            kind = _FAULTY[fault % len(_FAULTY)] if number % 10 < 3 else "healthy"
            path = f"/{kind}/{number}"
            metadata = {"group": number // _HEARING} | ({"rare": True} if kind in _LONG else {})
            where = f"http://127.0.0.1:{dead}" if kind == "refused" else url
            answer = await api.subscribe(where + path, events=["task.succeeded"], metadata=metadata)
            made.append(Subscribed(id=answer["id"], kind=kind, path=path))
    return made


async def _make_events(relay: Process, size: Size) -> None:
    """With a kill when half of them are made."""
    numbers = iter(range(size.events))
    half = asyncio.Event()

    async def call(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            await _make_event(session, relay.url, size, number)
            if number >= size.events // 2:
                half.set()

    async def kill() -> None:
        await half.wait()
        await relay.kill()
        await relay.start()

    async with aiohttp.ClientSession(headers=_KEY) as session, asyncio.TaskGroup() as group:
        for _ in range(_CALLERS):
            group.create_task(call(session), name="caller")
        if size.is_killed:
            group.create_task(kill(), name="kill")


async def _make_event(session: aiohttp.ClientSession, url: str, size: Size, number: int) -> None:
    metadata = {"group": number % size.groups, "rare": number < size.rare * size.groups}
    watched = await _insist(session, f"{url}/api/v1/tasks/watch", {"provider": "apiframe", "metadata": metadata}, {})
    await _insist(session, watched["provider_callback_url"], _CALLBACK, {_SECRET_HEADER: watched["provider_callback_secret"]})


async def _insist(session: aiohttp.ClientSession, url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """As providers do: again, until it is taken."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                async with session.post(url, json=body, headers=headers) as answer:
                    if answer.ok:
                        return dict(msgspec.json.decode(await answer.read() or b"{}"))
                    assert answer.status == 503, await answer.text()
            await asyncio.sleep(0.05)


async def _nothing_pends(relay: Process) -> None:
    async with asyncio.timeout(_PATIENCE), Api(relay.url) as api:
        while not re.search(r"^relay_deliveries_pending 0(\.0)?$", (await api.get("/metrics")).text, re.MULTILINE):
            await asyncio.sleep(0.25)


async def _ledger(receivers: Program, folder: Path) -> Ledger:
    receivers.say(str(folder / "ledger"))
    await receivers.hear(str)
    return msgspec.msgpack.decode((folder / "ledger").read_bytes(), type=Ledger)


def _rows(folder: Path, size: Size, subscribed: list[Subscribed], ledger: Ledger) -> list[Row]:
    with contextlib.closing(sqlite3.connect(folder / "relay.db")) as connection:
        return [_row(connection, size, number, one, ledger) for number, one in enumerate(subscribed)]


def _row(connection: sqlite3.Connection, size: Size, number: int, one: Subscribed, ledger: Ledger) -> Row:
    statuses = connection.execute("SELECT status, count(*) FROM deliveries WHERE subscription_id = ? GROUP BY status", (one.id,))
    [(attempts,)] = connection.execute(
        "SELECT count(*) FROM attempts JOIN deliveries ON deliveries.id = delivery_id WHERE subscription_id = ?", (one.id,))
    delivered = connection.execute("SELECT event_id FROM deliveries WHERE subscription_id = ? AND status = 'delivered'", (one.id,))
    of_group = len(range(number // _HEARING, size.events, size.groups))
    return Row(kind=one.kind, expected=size.rare if one.kind in _LONG else of_group, statuses=dict(statuses.fetchall()), attempts=attempts,
               requests=ledger.requests.get(one.path, 0), delivered={event for (event,) in delivered},
               accepted=Counter(ledger.accepted.get(one.path, {})))


def _problems(row: Row, *, is_exact: bool) -> Iterator[str]:
    """`is_exact`: nothing was cut short, so nothing came that Relay does not know of."""
    if row.statuses != {_ENDS[row.kind]: row.expected}:
        yield f"{row.statuses} instead of {row.expected} {_ENDS[row.kind]}"
    if row.accepted.keys() != row.delivered:
        yield f"{len(row.accepted)} were accepted and {len(row.delivered)} delivered, not the same ones"
    if _ENDS[row.kind] == "exhausted" and row.attempts != _ATTEMPTS * row.expected:
        yield f"{row.attempts} attempts at {row.expected} deliveries that were given up"
    if row.kind == "refused":
        return
    if row.requests < row.attempts or (is_exact and row.requests != row.attempts):
        yield f"{row.requests} requests came and {row.attempts} attempts were recorded"
    if is_exact and row.accepted.total() != len(row.accepted):
        yield f"{row.accepted.total() - len(row.accepted)} were accepted twice"


def table(report: Report) -> str:
    size, kinds = report.size, sorted({row.kind for row in report.rows}, key=["healthy", *_FAULTY].index)
    attempts = sum(row.attempts for row in report.rows)
    deliveries = sum(sum(row.statuses.values()) for row in report.rows)
    lines = [f"{size.events} events to {size.subscriptions} subscriptions, {'with' if size.is_killed else 'without'} a kill -9",
             "", "| receivers | number | delivered | exhausted | held | attempts | requests | accepted |", "|---" * 8 + "|"]
    lines += [_line(kind, [row for row in report.rows if row.kind == kind]) for kind in kinds]
    return "\n".join([
        *lines, "", f"events made in {report.made_seconds:.1f} s ({size.events / report.made_seconds:.0f}/s); {deliveries} deliveries with "
        f"{attempts} attempts in {report.all_seconds:.1f} s ({attempts / report.all_seconds:.0f} attempts/s)"])


def _line(kind: str, rows: list[Row]) -> str:
    ends = [sum(row.statuses.get(status, 0) for row in rows) for status in ("delivered", "exhausted", "held")]
    counts = [sum(row.attempts for row in rows), sum(row.requests for row in rows), sum(row.accepted.total() for row in rows)]
    return "| " + " | ".join([kind, *(str(number) for number in (len(rows), *ends, *counts))]) + " |"


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
