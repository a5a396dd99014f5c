"""Everything that can end a relay badly, large, with exact counts: kill -9 at fifty random moments, power lost at fifty random
instants, a full disk, a database that a stranger holds, and a kill with a hundred thousand deliveries due.

The tests run the same, small. The seed that is told repeats a run, as far as a machine repeats itself.
"""

import contextlib
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.bench.backlog import open_backlog
from tests.bench.stage import Stage
from tests.e2e.blackout import black_out
from tests.e2e.outage import disk_full, held_by_a_stranger
from tests.e2e.storm import storm

LONGEST_RESTART: Final = 5.0
"""Seconds from a start to its first delivery, whatever is due: a promise."""

_SENT_BEFORE: Final = 1000


class Restarted(Struct, frozen=True, kw_only=True):
    """A relay that was killed while it sent a backlog, and is at it again. `seconds`: from its start to its first delivery."""

    stage: Stage
    seconds: float
    requests_before: int


async def run() -> None:
    """Prints what came of each; raises if a promise is broken."""
    seed = secrets.randbits(32)
    _tell(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="relay-crash-") as name:
        folder = Path(name)
        killed = await storm(_made(folder / "killed"), kills=50, watched=5000, seed=seed)
        _tell(f"kill -9 at 50 moments: {killed}")
        dark = await black_out(_made(folder / "dark"), instants=50, watched=2000, seed=seed)
        _tell(f"power lost: {dark}")
        full = await disk_full(_made(folder / "full"), watched=2000)
        _tell(f"disk full: {full}")
        held = await held_by_a_stranger(_made(folder / "held"), watched=2000, seconds=10)
        _tell(f"held by a stranger for 10 s: {held}")
    broken = killed.problems + dark.problems + full.audit.problems + held.audit.problems + await _restart(100_000)
    if broken:
        raise SystemExit("\n".join(["A promise is broken.", *broken]))
    _tell("Every promise was kept.")


async def _restart(backlog: int) -> list[str]:
    async with restarted(backlog) as again:
        await again.stage.nothing_pending()
        requests = again.requests_before + (await again.stage.sink.seen_so_far()).count
        delivered = _delivered(again.stage)
    _tell(f"restart with {backlog} deliveries due: the first after {again.seconds:.2f} s; {delivered} delivered in {requests} requests")
    problems = [] if again.seconds <= LONGEST_RESTART else [f"the first delivery went out after {again.seconds:.2f} s"]
    return problems if delivered == backlog and requests >= backlog else [*problems, f"{delivered} of {backlog} were delivered"]


@contextlib.asynccontextmanager
async def restarted(backlog: int) -> AsyncIterator[Restarted]:
    """Killed when a few have been sent."""
    async with open_backlog(backlog) as stage:
        stage.sink.expect(_SENT_BEFORE)
        await stage.start()
        await stage.sink.seen()
        await stage.kill()
        before = await stage.sink.seen_so_far()
        stage.sink.expect(1)
        begun = time.monotonic()
        await stage.start()
        first = await stage.sink.seen()
        yield Restarted(stage=stage, seconds=first.first - begun, requests_before=before.count)


def _delivered(stage: Stage) -> int:
    """Without the one that was there before the backlog."""
    with contextlib.closing(sqlite3.connect(stage.database)) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM deliveries WHERE status = 'delivered'")
    return int(count) - 1


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
