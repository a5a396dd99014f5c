"""How many SQL statements an event costs from callback to recorded delivery, with one subscription, at full load."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.figure import Figure, most
from tests.bench.filling import Filled, fill, write_callbacks
from tests.bench.scale import Scale
from tests.bench.stage import open_stage

_WORTH_A_LINE: Final = 0.05


async def measure(scale: Scale) -> list[Figure]:
    """What a process that did little counted is taken from what one that did much did, so that start and stop do not count."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, scale.warm_up + scale.counted)
        few = await _counts(folder, filled, scale.warm_up)
        many = await _counts(folder, filled, scale.warm_up + scale.counted)
    each = {kind: (count - few.get(kind, 0)) / scale.counted for kind, count in many.items()}
    return [
        Figure(scenario="statements", name="per event, amortised", unit="", runs=[sum(each.values())], goal=most(6)),
        *(Figure(scenario="statements", name=kind, unit="", runs=[value])
          for kind, value in sorted(each.items(), key=lambda one: -one[1]) if value >= _WORTH_A_LINE),
    ]


async def _counts(folder: Path, filled: Filled, callbacks: int) -> Mapping[str, int]:
    counts = folder / f"counts-{callbacks}"
    async with open_stage(filled.database, subscriptions=1, serve=("tests.bench.counted", str(counts), "serve")) as stage:
        await stage.warm_up(write_callbacks(folder / "callbacks", filled.task_ids[:callbacks]), callbacks, 1)
    return msgspec.json.decode(counts.read_bytes(), type=dict[str, int])
