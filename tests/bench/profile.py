"""What the processor's time goes to, from callback to recorded delivery, with one subscription, at full load."""

import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.bench.figure import Figure
from tests.bench.filling import Filled, fill, write_callbacks
from tests.bench.scale import Scale
from tests.bench.stage import open_stage


class _Profile(Struct, frozen=True):
    """How often it was found in which part, and the processor time that it took in all."""

    looks: dict[str, int]
    seconds: float


async def measure(scale: Scale) -> list[Figure]:
    """In microseconds an event. A process that did little is taken from one that did much, so that start and stop do not count."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, scale.warm_up + scale.callbacks)
        few = await _profile(folder, filled, scale.warm_up)
        many = await _profile(folder, filled, scale.warm_up + scale.callbacks)
    looks = {part: max(0, count - few.looks.get(part, 0)) for part, count in many.looks.items()}
    micros = (many.seconds - few.seconds) * 1e6 / scale.callbacks
    parts = sorted(looks.items(), key=lambda one: -one[1])
    return [
        Figure(scenario="profile", name="processor time per event", unit="µs", runs=[micros]),
        *(Figure(scenario="profile", name=part, unit="µs", runs=[micros * count / max(1, sum(looks.values()))]) for part, count in parts),
    ]


async def _profile(folder: Path, filled: Filled, callbacks: int) -> _Profile:
    found = folder / f"looks-{callbacks}"
    async with open_stage(filled.database, subscriptions=1, serve=("tests.bench.profiled", str(found), "serve")) as stage:
        await stage.warm_up(write_callbacks(folder / "callbacks", filled.task_ids[:callbacks]), callbacks, 1)
    return msgspec.json.decode(found.read_bytes(), type=_Profile)
