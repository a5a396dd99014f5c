"""End to end with one process on SQLite, and with one, two and three on one PostgreSQL, side by side on this machine.

A subscription is sent to by one process at a time. So that all of them have something to do, there are several, and each event is for one.
"""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from tests.bench.figure import Figure
from tests.bench.filling import Filled, fill, write_callbacks
from tests.bench.many import CONNECTIONS, OPTIONS, fill_shared, open_many
from tests.bench.scale import Scale
from tests.bench.stage import open_stage
from tests.e2e.harness import Api
from tests.postgres import PostgresServer

_MOST: Final = 3
_SUBSCRIPTIONS: Final = 12


class Run(Struct, frozen=True, kw_only=True):
    """One run. Shares are of one core."""

    rate: float
    answered: float
    relay_share: float
    server_share: float = 0.0


async def measure(scale: Scale) -> list[Figure]:
    """All of them take turns, so that whatever else the machine does falls on each."""
    runs: dict[int, list[Run]] = {number: [] for number in range(_MOST + 1)}
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name, PostgresServer(options=OPTIONS) as server:
        folder = Path(name)
        filled = await fill(folder, scale.warm_up + scale.callbacks, each=_for_one)
        database = server.new_database()
        task_ids = await fill_shared(database, scale.warm_up + scale.callbacks, _for_one)
        for _ in range(scale.runs):
            runs[0].append(await _run_alone(folder, filled, scale.warm_up))
            for number in range(1, _MOST + 1):
                runs[number].append(await _run_shared(folder, server, database, task_ids, scale.warm_up, number))
    return [figure for number in runs for figure in _figures(number, runs[number])]


def _for_one(number: int) -> dict[str, Any]:
    return {"metadata": {"order": f"A-{number}", "for": str(number % _SUBSCRIPTIONS)}}


async def _subscribe(relay: str, sink: str) -> None:
    async with Api(relay) as api:
        for number in range(_SUBSCRIPTIONS):
            await api.subscribe(f"{sink}/{number}", metadata={"for": str(number)})


async def _run_alone(folder: Path, filled: Filled, warm: int) -> Run:
    count = len(filled.task_ids) - warm
    [warming], _ = _parts(folder / "warm", filled.task_ids[:warm], 1)
    [timed], _ = _parts(folder / "timed", filled.task_ids[warm:], 1, first=warm)
    async with open_stage(filled.database) as stage:
        await _subscribe(f"http://127.0.0.1:{stage.port}", stage.sink.url)
        await stage.warm_up(warming, warm, 1)
        stage.sink.expect(count)
        before = stage.cpu()
        told = await stage.call_back(timed, count, connections=CONNECTIONS)
        seen = await stage.sink.seen()
        seconds = max(await stage.nothing_pending(), seen.last) - told.begun
        return Run(rate=count / seconds, answered=told.rate, relay_share=(stage.cpu() - before) / seconds)


async def _run_shared(folder: Path, server: PostgresServer, database: str, task_ids: Sequence[str], warm: int, processes: int) -> Run:
    count = len(task_ids) - warm
    async with open_many(server, database, processes) as stage:
        await _subscribe(stage.url, stage.sink.url)
        stage.sink.expect(warm)
        await stage.call_back(*_parts(folder / "warm", task_ids[:warm], processes))
        await stage.sink.seen()
        await stage.nothing_pending()
        stage.sink.expect(count)
        before, server_before = stage.cpu(), stage.server_cpu()
        tellings = await stage.call_back(*_parts(folder / "timed", task_ids[warm:], processes, first=warm))
        seen = await stage.sink.seen()
        begun = min(told.begun for told in tellings)
        seconds = max(await stage.nothing_pending(), seen.last) - begun
        return Run(rate=count / seconds, answered=count / (max(told.ended for told in tellings) - begun),
                   relay_share=(stage.cpu() - before) / seconds, server_share=(stage.server_cpu() - server_before) / seconds)


def _parts(path: Path, task_ids: Sequence[str], processes: int, first: int = 0) -> tuple[list[str], list[int]]:
    """A file of callbacks for each process, and how many are in it."""
    bounds = [len(task_ids) * number // processes for number in range(processes + 1)]
    pairs = list(itertools.pairwise(bounds))
    files = [write_callbacks(path.with_name(f"{path.name}-{start}"), task_ids[start:end], first=first + start) for start, end in pairs]
    return files, [end - start for start, end in pairs]


def _figures(processes: int, runs: Sequence[Run]) -> list[Figure]:
    """`processes` is 0 for the one on SQLite."""
    title = f"PostgreSQL, {processes} process{'es' if processes > 1 else ''}" if processes else "SQLite, 1 process"
    figures = [
        Figure(scenario=title, name="callbacks end to end", unit="/s", runs=[run.rate for run in runs]),
        Figure(scenario=title, name="callbacks answered meanwhile", unit="/s", runs=[run.answered for run in runs]),
        Figure(scenario=title, name="CPU of Relay", unit="cores", runs=[run.relay_share for run in runs]),
    ]
    return figures + ([Figure(scenario=title, name="CPU of PostgreSQL", unit="cores", runs=[run.server_share for run in runs])]
                      if processes else [])
