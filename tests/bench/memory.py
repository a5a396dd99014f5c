"""What Relay takes up: memory while it does all it can, and the time of a core while nothing is asked of it."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tests.bench.figure import Figure, most
from tests.bench.filling import fill, write_callbacks
from tests.bench.scale import Scale
from tests.bench.stage import open_stage


class _Rest(Struct, frozen=True):
    """What a process has used until now."""

    cpu: float
    wakes: int
    at: float


async def measure(scale: Scale) -> list[Figure]:
    fresh, peaks, shares, wakes = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, scale.callbacks)
        requests = write_callbacks(folder / "callbacks", filled.task_ids)
        for _ in range(max(1, scale.runs // 2)):
            async with open_stage(filled.database, subscriptions=1) as stage:
                fresh.append(stage.memory())
                stage.sink.expect(scale.callbacks)
                await stage.call_back(requests, scale.callbacks)
                await stage.sink.seen()
                await stage.nothing_pending()
                peaks.append(stage.peak_memory())
                await asyncio.sleep(1)  # connections are closed, checkpoints made
                before = _used(stage.pid)
                await asyncio.sleep(scale.idle_seconds)
                after = _used(stage.pid)
                shares.append((after.cpu - before.cpu) / (after.at - before.at) * 100)
                wakes.append((after.wakes - before.wakes) / (after.at - before.at))
    return [
        Figure(scenario="memory", name="after the start", unit="MiB", runs=fresh),
        Figure(scenario="memory", name="most at full load", unit="MiB", runs=peaks, goal=most(120)),
        Figure(scenario="memory", name="CPU of an idle process", unit="% of a core", runs=shares, goal=most(0.5)),
        Figure(scenario="memory", name="an idle process wakes", unit="/s", runs=wakes),
    ]


def _used(pid: int) -> _Rest:
    """By the scheduler's own account, which is finer than a tick."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    cpu = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    return _Rest(cpu, sum(count for thread in threads for count in _switches(thread)), time.monotonic())


def _switches(thread: Path) -> Iterator[int]:
    lines = (thread / "status").read_text().splitlines()
    return (int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
