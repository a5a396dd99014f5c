"""What several relays on one PostgreSQL lose when one of them dies, or the database goes away: nothing."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.bench.stage import cpu_seconds
from tests.e2e.crowd import Audit, at_rest, audit
from tests.e2e.fleet import Fleet, open_fleet
from tests.postgres import PostgresServer

_PAUSE: Final = 0.2
_OTHERS: Final = "SELECT count(*) FROM processes"
_AFTERWARDS: Final = 1.0  # seconds of load behind what was done to them


class Loss(Struct, frozen=True, kw_only=True):
    """`taken_over`: seconds from the kill until nothing was held by the dead any more."""

    audit: Audit
    taken_over: float

    def __str__(self) -> str:
        return f"{self.audit}; taken over after {self.taken_over:.1f} s"


class Absence(Struct, frozen=True, kw_only=True):
    """`refused`: callbacks that met a 503 while the database was away. `idle_cpu`: seconds of CPU meanwhile of a relay that nobody asked
    for anything, `lines` how much each log grew."""

    audit: Audit
    refused: int
    idle_cpu: float
    lines: Sequence[int]

    def __str__(self) -> str:
        return f"{self.audit}; {self.refused} times 503, {self.idle_cpu:.2f} s of CPU, {self.lines} lines in the logs"


async def lose_a_process(folder: Path, database: str, *, watched: int, seed: int, skews: Sequence[float] = ()) -> Loss:
    """The first one, which has all duties, is killed in the middle of everything and does not come back before its work is done."""
    # A task that was marked as sent and did not get as far as the provider waits for a callback until its deadline.
    async with open_fleet(folder, database, seed=seed, skews=skews, RELAY_APIFRAME_DEADLINE="20s") as fleet:
        await fleet.crowd.watch(watched)
        async with _load(fleet):
            await fleet.crowd.until(lambda crowd: len(crowd.acknowledged) >= watched // 3)
            moment = time.monotonic()
            await fleet.relays[0].kill()
            await fleet.until(_OTHERS, len(fleet.relays) - 1)
            taken_over = time.monotonic() - moment
        found = audit(await at_rest(fleet.api, fleet.studio), fleet.crowd, fleet.inbox, fleet.studio, (moment,))
        await fleet.relays[0].start()
        await fleet.until(_OTHERS, len(fleet.relays))
        return Loss(audit=found, taken_over=taken_over)


async def lose_the_database(folder: Path, server: PostgresServer, *, watched: int, seed: int, seconds: float) -> Absence:
    """It is restarted, then crashes, then is away for a while; three relays are under load, one more has nothing to do with that."""
    roles = ["all", "all", "all", "worker"]
    async with open_fleet(folder, server.new_database(), count=4, roles=roles, seed=seed) as fleet:
        await fleet.crowd.watch(watched)
        async with _load(fleet):
            for mode in ("fast", "immediate"):
                await fleet.crowd.until(lambda crowd: len(crowd.acknowledged) >= watched // 4)
                await asyncio.to_thread(server.restart, mode)
                await fleet.are_ready()
            refused, idle_cpu, lines = await _away(fleet, server, seconds)
        found = audit(await at_rest(fleet.api, fleet.studio), fleet.crowd, fleet.inbox, fleet.studio)
        return Absence(audit=found, refused=refused, idle_cpu=idle_cpu, lines=lines)


async def _away(fleet: Fleet, server: PostgresServer, seconds: float) -> tuple[int, float, list[int]]:
    refused, lines, idle = fleet.crowd.asking.refused, fleet.lines(), fleet.relays[-1].pid
    await asyncio.to_thread(server.stop, "immediate")
    before = cpu_seconds(idle)
    await asyncio.sleep(seconds)
    used = cpu_seconds(idle) - before
    refused = fleet.crowd.asking.refused - refused
    grown = [now - then for now, then in zip(fleet.lines(), lines, strict=True)]
    await asyncio.to_thread(server.start)
    await fleet.are_ready()
    return refused, used, grown


@contextlib.asynccontextmanager
async def _load(fleet: Fleet) -> AsyncIterator[None]:
    """Everything at once, while this is open and a little longer."""
    is_over = asyncio.Event()
    async with asyncio.TaskGroup() as load:
        load.create_task(fleet.crowd.call_back(_PAUSE), name="callbacks")
        load.create_task(fleet.crowd.submit(is_over, fleet.chance, _PAUSE), name="submits")
        try:
            yield
            await asyncio.sleep(_AFTERWARDS)
        finally:
            is_over.set()
