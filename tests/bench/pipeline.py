"""End to end: from the first callback until the last event has reached its subscriber and that is recorded."""

import tempfile
from pathlib import Path

from msgspec import Struct

from tests.bench.figure import Figure, least, most
from tests.bench.filling import Filled, fill, write_callbacks
from tests.bench.reference import empty_endpoint
from tests.bench.scale import Scale
from tests.bench.stage import open_stage

FEW, MANY = 1, 5


class Run(Struct, frozen=True, kw_only=True):
    """One run. Shares are of one core."""

    rate: float
    answered: float
    drained_after: float
    relay_share: float
    generator_share: float
    sink_share: float
    peak_memory: float
    refused: int


async def measure(scale: Scale) -> list[Figure]:
    figures = []
    for subscriptions, count in ((FEW, scale.callbacks), (MANY, scale.fanned_callbacks)):
        runs, empty = [], []
        with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
            folder = Path(name)
            filled = await fill(folder, scale.warm_up + count)
            for _ in range(scale.runs):
                empty.append((await empty_endpoint(scale.reference_seconds, folder)).rate)
                runs.append(await run_once(folder, filled, scale.warm_up, subscriptions))
        figures += _figures(subscriptions, runs, empty)
    return figures


async def run_once(folder: Path, filled: Filled, warm: int, subscriptions: int) -> Run:
    warming = write_callbacks(folder / "warm", filled.task_ids[:warm])
    timed = write_callbacks(folder / "timed", filled.task_ids[warm:], first=warm)
    count = len(filled.task_ids) - warm
    async with open_stage(filled.database, subscriptions=subscriptions) as stage:
        await stage.warm_up(warming, warm, subscriptions)
        stage.sink.expect(count * subscriptions)
        before = stage.cpu()
        told = await stage.call_back(timed, count)
        seen = await stage.sink.seen()
        recorded = max(await stage.nothing_pending(), seen.last)
        seconds = recorded - told.begun
        return Run(
            rate=count / seconds, answered=told.rate, drained_after=recorded - told.ended,
            relay_share=(stage.cpu() - before) / seconds, generator_share=told.cpu_share, sink_share=seen.cpu_share,
            peak_memory=stage.peak_memory(), refused=told.refused)


def _figures(subscriptions: int, runs: list[Run], empty: list[float]) -> list[Figure]:
    rates = [run.rate for run in runs]
    ratios = [rate / reference for rate, reference in zip(rates, empty, strict=True)]
    title = f"pipeline, {subscriptions} subscription{'s' if subscriptions > 1 else ''}"
    if subscriptions == FEW:
        told = [Figure(scenario=title, name="callbacks end to end", unit="/s", runs=rates, goal=least(3500)),
                Figure(scenario=title, name="of the empty endpoint", unit="", runs=ratios, goal=least(0.10))]
    else:
        told = [Figure(scenario=title, name="callbacks end to end", unit="/s", runs=rates),
                Figure(scenario=title, name="deliveries", unit="/s", runs=[rate * subscriptions for rate in rates], goal=least(5000))]
    return [
        *told,
        Figure(scenario=title, name="callbacks answered meanwhile", unit="/s", runs=[run.answered for run in runs]),
        Figure(scenario=title, name="drained after the last answer", unit="s", runs=[run.drained_after for run in runs]),
        Figure(scenario=title, name="refused with 503, sent again", unit="", runs=[run.refused for run in runs]),
        Figure(scenario=title, name="most memory", unit="MiB", runs=[run.peak_memory for run in runs], goal=most(120)),
        Figure(scenario=title, name="CPU of Relay", unit="cores", runs=[run.relay_share for run in runs]),
        Figure(scenario=title, name="CPU of the generator", unit="cores", runs=[run.generator_share for run in runs]),
        Figure(scenario=title, name="CPU of the sink", unit="cores", runs=[run.sink_share for run in runs]),
    ]
