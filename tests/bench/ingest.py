"""Callbacks alone: nobody has subscribed, so what is measured is proving, recording and answering them."""

import tempfile
from pathlib import Path

from tests.bench.figure import Figure, least
from tests.bench.filling import fill, write_callbacks
from tests.bench.reference import empty_endpoint
from tests.bench.scale import Scale
from tests.bench.stage import open_stage


async def measure(scale: Scale) -> list[Figure]:
    rates, empty, shares, cores, refused = [], [], [], [], []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, scale.warm_up + scale.callbacks)
        warm = write_callbacks(folder / "warm", filled.task_ids[:scale.warm_up])
        timed = write_callbacks(folder / "timed", filled.task_ids[scale.warm_up:], first=scale.warm_up)
        for _ in range(scale.runs):
            empty.append((await empty_endpoint(scale.reference_seconds, folder)).rate)
            async with open_stage(filled.database) as stage:
                await stage.call_back(warm, scale.warm_up)
                before = stage.cpu()
                told = await stage.call_back(timed, scale.callbacks)
                cores.append((stage.cpu() - before) / told.seconds)
            rates.append(told.rate)
            shares.append(told.cpu_share)
            refused.append(told.refused)
    ratios = [rate / reference for rate, reference in zip(rates, empty, strict=True)]
    return [
        Figure(scenario="ingest", name="callbacks", unit="/s", runs=rates),
        Figure(scenario="ingest", name="of the empty endpoint", unit="", runs=ratios, goal=least(0.25)),
        Figure(scenario="ingest", name="empty endpoint beside it", unit="/s", runs=empty),
        Figure(scenario="ingest", name="refused with 503, sent again", unit="", runs=refused),
        Figure(scenario="ingest", name="CPU of Relay", unit="cores", runs=cores),
        Figure(scenario="ingest", name="CPU of the generator", unit="cores", runs=shares),
    ]
