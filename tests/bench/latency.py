"""How long a callback waits for its answer, and its event for its subscriber, at a pace that leaves Relay time to spare.

Both count from when the callback was to be sent. One subscription.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tests.bench.figure import Figure, Goal, most
from tests.bench.filling import Filled, fill, write_callbacks
from tests.bench.load import Times, between
from tests.bench.scale import Scale
from tests.bench.stage import Stage, open_stage

RATES: Final = (100, 200, 1000)
_GOALS: Final[dict[tuple[int, str], Goal]] = {
    (200, "callback answered p50"): most(3), (200, "callback answered p99"): most(15),
    (200, "event at the subscriber p50"): most(4), (200, "event at the subscriber p99"): most(25),
    (1000, "callback answered p99"): most(60), (1000, "event at the subscriber p99"): most(60),
}


class Run(Struct, frozen=True, kw_only=True):
    rate: int
    answered: Times
    arrived: Times
    late: float


async def measure(scale: Scale) -> list[Figure]:
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, scale.warm_up + sum(_count(rate, scale) for rate in RATES))
        for _ in range(scale.runs):
            async with open_stage(filled.database, subscriptions=1) as stage:
                await stage.warm_up(write_callbacks(folder / "warm", filled.task_ids[:scale.warm_up]), scale.warm_up, 1)
                runs += await _at_each_rate(stage, folder, filled, scale)
    return [figure for rate in RATES for figure in _figures(rate, [run for run in runs if run.rate == rate])]


def _count(rate: int, scale: Scale) -> int:
    return round(rate * scale.latency_seconds)


async def _at_each_rate(stage: Stage, folder: Path, filled: Filled, scale: Scale) -> list[Run]:
    runs, first = [], scale.warm_up
    for rate in RATES:
        count = _count(rate, scale)
        requests = write_callbacks(folder / f"at-{rate}", filled.task_ids[first:first + count], first=first)
        runs.append(await _run(stage, folder, requests, rate, count))
        first += count
    return runs


async def _run(stage: Stage, folder: Path, requests: str, rate: int, count: int) -> Run:
    stamps, arrivals = folder / "stamps", folder / "arrivals"
    stage.sink.expect(count, arrivals)
    told = await stage.call_back(requests, count, rate=rate, stamps=stamps)
    await stage.sink.seen()
    await stage.nothing_pending()
    sent = msgspec.msgpack.decode(stamps.read_bytes(), type=dict[str, float])
    came = msgspec.msgpack.decode(arrivals.read_bytes(), type=list[tuple[str, float]])
    arrived = between(sent, came)
    assert arrived.count == count, f"{arrived.count} of {count} events speak of tasks that were called back for"
    assert told.late is not None
    return Run(rate=rate, answered=told.answered, arrived=arrived, late=told.late.p99)


def _figures(rate: int, runs: Sequence[Run]) -> list[Figure]:
    of_runs = {
        "callback answered p50": [run.answered.p50 for run in runs], "callback answered p99": [run.answered.p99 for run in runs],
        "event at the subscriber p50": [run.arrived.p50 for run in runs], "event at the subscriber p99": [run.arrived.p99 for run in runs],
        "the generator's own lateness p99": [run.late for run in runs],
    }
    return [Figure(scenario=f"latency at {rate}/s", name=name, unit="ms", runs=values, goal=_GOALS.get((rate, name)))
            for name, values in of_runs.items()]
