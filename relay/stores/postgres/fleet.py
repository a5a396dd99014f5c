"""The processes that share the database, as this one sees and serves them (see process)."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from relay.bell import Bell
from relay.errors import StoreError
from relay.stores.postgres.clock import SharedClock
from relay.stores.postgres.duty import Duties
from relay.stores.postgres.hint import Hints
from relay.stores.postgres.lane import Lanes
from relay.stores.postgres.lease import free_all, holders_unknown
from relay.stores.postgres.line import Line
from relay.stores.postgres.process import BEAT_SECONDS, Watch
from relay.stores.postgres.tenure import Tenure
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Single, Writer
from relay.stores.row import Row, moment

_log = logging.getLogger(__name__)

_RING_SECONDS: Final = 1.5  # with every other heartbeat


class Fleet:
    """`holder`: this process. `clock`: its own, until the database's is known. `ticks`: one that only goes forward."""

    def __init__(self, line: Line, writer: Writer, bell: Bell, hints: Hints, lanes: Lanes, tenure: Tenure, *, holder: str, role: str,
                 clock: Callable[[], datetime], ticks: Callable[[], float]) -> None:
        self._line = line
        self._writer = writer
        self._bell = bell
        self._hints = hints
        self._lanes = lanes
        self._tenure = tenure
        self._holder = holder
        self._role = role
        self._ticks = ticks
        self._watch = Watch()
        self._dead: dict[str, int] = {}
        self._has_looked = asyncio.Event()
        self._rung_at = -math.inf
        self._clock = SharedClock(clock, ticks)
        self._duties = duties = Duties(writer, bell, holder)
        self.now, self.take_on, self.give_up = self._clock.now, duties.take_on, duties.give_up

    async def register(self) -> None:
        """Before anything is held. Raises StoreError."""
        await self._line.fetch(
            """INSERT INTO processes (id, role, beat, started_at, seen_at)
            SELECT CAST(:holder AS text), CAST(:role AS text), 0, now, now
            FROM (SELECT CAST(extract(epoch FROM now()) * 1000000 AS bigint) AS now) AS here ON CONFLICT (id) DO NOTHING""",
            {"holder": self._holder, "role": self._role})
        await self._beat()

    async def recover(self) -> None:
        """Free what nobody living holds, and whatever is held in this one's name."""
        async def recover(transaction: Transaction) -> None:
            await free_all(transaction, [self._holder, *await holders_unknown(transaction)])

        await self._writer.write_alone(recover)
        self._tenure.forget_all()

    async def run(self, resting: asyncio.Event) -> None:
        """See ports.Fleet. No heartbeat waits for what there is to do about the others."""
        async with asyncio.TaskGroup() as group:
            aside = [group.create_task(self._hints.run(), name="hints"), group.create_task(self._tend_again(), name="look after processes")]
            while not resting.is_set():
                await self._pulse()
                self._has_looked.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_SECONDS):
                        await resting.wait()
            for task in aside:
                task.cancel()

    async def leave(self) -> None:
        """Give back everything at once, so that nobody has to wait until this process is taken for dead."""
        with contextlib.suppress(StoreError):
            await self._writer.write_alone(_bury(self._holder, None))
        self._line.cut()

    async def look_round(self) -> None:
        """One heartbeat, and what is to be done about what was seen."""
        await self._pulse()
        await self._tend()

    async def _pulse(self) -> None:
        try:
            beats = await self._beat()
        except StoreError:  # that the database is not there is said elsewhere
            self._watch.look_away()
            return
        self._dead = self._watch.look(beats, self._ticks())
        self._ring_all()

    async def _tend_again(self) -> None:
        while True:
            await self._has_looked.wait()
            self._has_looked.clear()
            await self._tend()

    async def _tend(self) -> None:
        """What fails is done again after the next heartbeat."""
        with contextlib.suppress(StoreError):
            for name, beat in self._dead.items():
                await self._bury(name, beat)
            await self._lanes.give_up_unused()

    def _ring_all(self) -> None:
        """Now and then: a hint may have been lost."""
        now = self._ticks()
        if now - self._rung_at >= _RING_SECONDS:
            self._rung_at = now
            self._bell.ring_all()

    async def _beat(self) -> dict[str, int]:
        """Everybody else's number. Raises StoreError, and RuntimeError if this process was taken for dead."""
        asked = self._ticks()
        rows = await self._line.fetch(
            """WITH own AS (UPDATE processes SET beat = beat + 1, seen_at = CAST(extract(epoch FROM now()) * 1000000 AS bigint)
                WHERE id = :holder RETURNING id)
            SELECT here.now, here.lives, here.taken, others.id, others.beat FROM (
                SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS now, EXISTS (SELECT 1 FROM own) AS lives,
                ARRAY(SELECT name FROM duties WHERE holder <> :holder) AS taken) AS here
            LEFT JOIN processes AS others ON others.id <> :holder""", {"holder": self._holder})
        self._clock.learn(moment(rows[0]["now"]), asked, self._ticks())
        if not rows[0]["lives"]:
            raise RuntimeError("another process took this one for dead, since no heartbeat of it came, and does its work now: it stops")
        self._duties.note(rows[0]["taken"])
        return _beats(rows)

    async def _bury(self, name: str, beat: int) -> None:
        if await self._writer.write_alone(_bury(name, beat)):
            _log.warning("process %s gave no heartbeat any more: what it held is free", name)


def _beats(rows: Sequence[Row]) -> dict[str, int]:
    return {row["id"]: row["beat"] for row in rows if row["id"] is not None}


def _bury(name: str, beat: int | None) -> Single[bool]:
    """False if it lives: its number is another one. None: whatever it is."""
    async def bury(transaction: Transaction) -> bool:
        rows = await transaction.fetch(
            "DELETE FROM processes WHERE id = :name AND beat = coalesce(CAST(:beat AS bigint), beat) RETURNING id",
            {"name": name, "beat": beat})
        if rows:
            await free_all(transaction, [name])
        return bool(rows)

    return bury
