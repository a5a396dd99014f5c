"""Tasks asked for: `POST /api/v1/tasks`, recorded and answered, then sent to a stand-in for APIFRAME that accepts at once."""

import tempfile
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.figure import Figure
from tests.bench.filling import post, write_requests
from tests.bench.load import Load
from tests.bench.program import drive
from tests.bench.scale import Scale
from tests.bench.stage import open_stage
from tests.e2e.harness import ADMIN_KEY

_ACCEPTED: Final = 202
_SETTINGS: Final = {"RELAY_APIFRAME_API_KEY": "bench", "RELAY_APIFRAME_BASE_URL": "{sink}", "RELAY_APIFRAME_MAX_CONCURRENT": "1000000"}


async def measure(scale: Scale) -> list[Figure]:
    answered, sent, waited = [], [], []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        requests = write_requests(Path(name) / "requests", [_submission(number) for number in range(scale.submits)])
        for _ in range(scale.runs):
            async with open_stage(answer='{"task_id": "29e983ca-{id}"}', settings=_SETTINGS) as stage:
                stage.sink.expect(scale.submits)
                told = await drive(Load(port=stage.port, requests=requests))
                assert told.answers == {_ACCEPTED: scale.submits}, told.answers
                seen = await stage.sink.seen()
            answered.append(told.rate)
            waited.append(told.answered.p99)
            sent.append(scale.submits / (seen.last - told.begun))
    return [
        Figure(scenario="submit", name="tasks accepted", unit="/s", runs=answered),
        Figure(scenario="submit", name="accepted p99, 64 at once", unit="ms", runs=waited),
        Figure(scenario="submit", name="sent to the provider", unit="/s", runs=sent),
    ]


def _submission(number: int) -> bytes:
    task = {"provider": "apiframe", "prompt": f"a lighthouse at dusk, number {number}", "width": 1024, "height": 768, "seed": number,
            "metadata": {"order": f"A-{number}"}}
    return post("/api/v1/tasks", msgspec.json.encode(task), f"authorization: Bearer {ADMIN_KEY}")
