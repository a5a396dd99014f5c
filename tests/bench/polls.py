"""An app that polls: `get_result` of Serevix's drop-in for tasks that are still open, by its key and by the link that needs none.

A poll is answered from the store. What that costs is told beside an endpoint that does nothing, asked at the same pace.
"""

import tempfile
from pathlib import Path
from typing import Final

from relay.signing import Seal
from tests.bench.figure import Figure, most
from tests.bench.filling import SECRET_KEY, fill, get, write_requests
from tests.bench.load import Load, Told
from tests.bench.program import drive
from tests.bench.reference import empty_endpoint
from tests.bench.scale import Scale
from tests.bench.stage import open_stage
from tests.e2e.harness import ADMIN_KEY

_PATH: Final = "/dropin/serevix/flux/v1/get_result"
_RATE: Final = 200.0


async def measure(scale: Scale) -> list[Figure]:
    rates, ratios, paced, empty, keyless = [], [], [], [], []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, scale.polls, provider="serevix", dropin="serevix")
        seal = Seal([SECRET_KEY], "polls")
        by_key = write_requests(folder / "by-key", [
            get(f"{_PATH}?id={task_id}", f"authorization: Bearer {ADMIN_KEY}") for task_id in filled.task_ids])
        by_link = write_requests(folder / "by-link", [
            get(f"{_PATH}?id={task_id}&token={seal.sign(task_id).removeprefix(f'{task_id}.')}") for task_id in filled.task_ids])
        for _ in range(scale.runs):
            nothing = await empty_endpoint(scale.reference_seconds, folder)
            empty.append((await empty_endpoint(scale.reference_seconds, folder, rate=_RATE)).answered.p50)
            async with open_stage(filled.database) as stage:
                await _all_found(Load(port=stage.port, requests=by_key, seconds=scale.reference_seconds / 3))  # warm
                told = await _all_found(Load(port=stage.port, requests=by_key, seconds=scale.reference_seconds))
                rates.append(told.rate)
                ratios.append(told.rate / nothing.rate)
                paced.append((await _all_found(
                    Load(port=stage.port, requests=by_key, seconds=scale.reference_seconds, rate=_RATE))).answered.p50)
                keyless.append((await _all_found(
                    Load(port=stage.port, requests=by_link, seconds=scale.reference_seconds, rate=_RATE))).answered.p50)
    return [
        Figure(scenario="polls", name="answered", unit="/s", runs=rates),
        Figure(scenario="polls", name="of the empty endpoint", unit="", runs=ratios),
        Figure(scenario="polls", name="p50 at 200/s by key", unit="ms", runs=paced, goal=most(5)),
        Figure(scenario="polls", name="p50 at 200/s by link", unit="ms", runs=keyless, goal=most(5)),
        Figure(scenario="polls", name="p50 at 200/s of the empty endpoint", unit="ms", runs=empty),
        Figure(scenario="polls", name="p50 by key to that of the empty endpoint", unit="", runs=[
            ours / theirs for ours, theirs in zip(paced, empty, strict=True)]),
    ]


async def _all_found(load: Load) -> Told:
    told = await drive(load)
    assert set(told.answers) == {200}, told.answers
    return told
