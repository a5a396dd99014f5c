"""Ten thousand open tasks of a provider that must be asked, all due at once: how many are asked and ended in a second."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.bench.figure import Figure
from tests.bench.filling import fill
from tests.bench.scale import Scale
from tests.bench.stage import open_stage

_START: Final = timedelta(seconds=2)
_FILLED_PER_SECOND: Final = 3000
_READY: Final = '{"status": "Ready", "result": {"sample": "https://delivery.serevix.example/{id}.jpeg", "seed": 42}}'
_SETTINGS: Final = {"RELAY_SEREVIX_API_KEY": "bench", "RELAY_SEREVIX_BASE_URL": "{sink}"}


async def measure(scale: Scale) -> list[Figure]:
    rates, cores = [], []
    for _ in range(scale.runs):
        with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
            filled = await fill(Path(name), scale.polls, provider="serevix", due_at=_when_all_is_up(scale.polls))
            async with open_stage(filled.database, answer=_READY, settings=_SETTINGS) as stage:
                assert (await stage.sink.seen_so_far()).count == 0, "the polls began before they were watched"
                stage.sink.expect(scale.polls)
                before = stage.cpu()
                seen = await stage.sink.seen()
                seconds = await stage.nothing_open() - seen.first
                rates.append(scale.polls / seconds)
                cores.append((stage.cpu() - before) / seconds)
    return [
        Figure(scenario="poll", name=f"asked and ended, {scale.polls} open", unit="/s", runs=rates),
        Figure(scenario="poll", name="CPU of Relay", unit="cores", runs=cores),
    ]


def _when_all_is_up(count: int) -> datetime:
    return datetime.now(UTC) + _START + timedelta(seconds=count / _FILLED_PER_SECOND)
