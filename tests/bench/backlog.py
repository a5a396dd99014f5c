"""A start with very many deliveries due: when the first goes out, how fast they go, and whether memory stays where it is meanwhile."""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.figure import Figure, most
from tests.bench.filling import fill, write_callbacks
from tests.bench.history import add_pending
from tests.bench.scale import Scale
from tests.bench.stage import Stage, open_stage

_LOOK_EVERY: Final = 0.2


async def measure(scale: Scale) -> list[Figure]:
    async with open_backlog(scale.backlog) as stage:
        return await _drain(stage, scale.backlog)


@contextlib.asynccontextmanager
async def open_backlog(count: int) -> AsyncIterator[Stage]:
    """A relay that is stopped, with so many deliveries that are due."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, 1)
        async with open_stage(filled.database, subscriptions=1) as stage:
            await stage.warm_up(write_callbacks(folder / "first", filled.task_ids), 1, 1)
            await stage.stop()
            await asyncio.to_thread(add_pending, stage.database, count)
            yield stage


async def _drain(stage: Stage, count: int) -> list[Figure]:
    stage.sink.expect(count)
    begun = time.monotonic()
    await stage.start()
    before = stage.cpu()
    memory: list[float] = []
    watching = asyncio.create_task(_watch(stage, memory), name="watch memory")
    seen = await stage.sink.seen()
    drained = await stage.nothing_pending()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    seconds = drained - seen.first
    quarter = max(1, len(memory) // 4)
    drift = statistics.median(memory[-quarter:]) - statistics.median(memory[quarter:2 * quarter] or memory)
    title = f"backlog of {count:,}"
    return [
        Figure(scenario=title, name="start to first delivery", unit="s", runs=[seen.first - begun], goal=most(5)),
        Figure(scenario=title, name="drained", unit="/s", runs=[count / seconds]),
        Figure(scenario=title, name="most memory", unit="MiB", runs=[stage.peak_memory()], goal=most(120)),
        Figure(scenario=title, name="memory, last quarter less second", unit="MiB", runs=[drift], goal=most(5)),
        Figure(scenario=title, name="CPU of Relay", unit="cores", runs=[(stage.cpu() - before) / seconds]),
        Figure(scenario=title, name="CPU of the sink", unit="cores", runs=[seen.cpu_share]),
    ]


async def _watch(stage: Stage, memory: list[float]) -> None:
    while True:
        memory.append(stage.memory())
        await asyncio.sleep(_LOOK_EVERY)
