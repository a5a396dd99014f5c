"""More callbacks than can be written down: how many are taken, how long those wait that are, and whether the API can be used meanwhile.

What is refused comes again two seconds later, so the load grows by that, as that of impatient providers does.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.bench.figure import Figure, most
from tests.bench.filling import fill, write_callbacks
from tests.bench.load import Load, Times, Told, times_of
from tests.bench.program import drive
from tests.bench.scale import Scale
from tests.bench.stage import Stage, open_stage
from tests.e2e.harness import Api

OFFERED: Final = 6000.0
_CONNECTIONS: Final = 1000
_AGAIN_AFTER: Final = 2.0
_ASK_EVERY: Final = 0.05


class Run(Struct, frozen=True, kw_only=True):
    told: Told
    api: Times


async def measure(scale: Scale) -> list[Figure]:
    runs = []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        filled = await fill(folder, scale.warm_up + _count(scale))
        warming = write_callbacks(folder / "warm", filled.task_ids[:scale.warm_up])
        timed = write_callbacks(folder / "timed", filled.task_ids[scale.warm_up:], first=scale.warm_up)
        for _ in range(scale.runs):
            async with open_stage(filled.database, subscriptions=1) as stage:
                await stage.warm_up(warming, scale.warm_up, 1)
                runs.append(await _run(stage, timed))
    title = f"{OFFERED:,.0f} callbacks/s offered"
    return [
        Figure(scenario=title, name="taken", unit="/s", runs=[run.told.rate for run in runs]),
        Figure(scenario=title, name="refused with 503, sent again", unit="", runs=[run.told.refused for run in runs]),
        Figure(scenario=title, name="answer to what is taken p99", unit="ms", runs=[run.told.took.p99 for run in runs], goal=most(250)),
        Figure(scenario=title, name="list of tasks meanwhile p50", unit="ms", runs=[run.api.p50 for run in runs]),
        Figure(scenario=title, name="list of tasks meanwhile p99", unit="ms", runs=[run.api.p99 for run in runs]),
    ]


def _count(scale: Scale) -> int:
    return round(OFFERED * scale.latency_seconds)


async def _run(stage: Stage, requests: str) -> Run:
    async with Api(f"http://127.0.0.1:{stage.port}") as api:
        asking = asyncio.create_task(_ask(api), name="ask the API")
        try:
            told = await drive(Load(
                port=stage.port, requests=requests, rate=OFFERED, connections=_CONNECTIONS, again_after=_AGAIN_AFTER, greets=True))
        finally:
            asking.cancel()
            spans = (await asyncio.gather(asking, return_exceptions=True))[0]
    if isinstance(spans, BaseException):
        raise spans
    return Run(told=told, api=times_of(spans))


async def _ask(api: Api) -> list[float]:
    """How long each answer took, in seconds, until it is cancelled."""
    spans: list[float] = []
    try:
        while True:
            begun = time.monotonic()
            answer = await api.get("/api/v1/tasks?limit=5")
            assert answer.status_code == 200, answer.text
            spans.append(time.monotonic() - begun)
            await asyncio.sleep(_ASK_EVERY)
    except asyncio.CancelledError:
        return spans
