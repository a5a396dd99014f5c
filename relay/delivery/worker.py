"""Deliveries that are due, attempted and settled, until the process stops.

Claims only as much as its lanes have room for: a backlog stays in the store. A fault of ours in one delivery costs that delivery an
attempt, never the loop. To stop: nothing more is claimed, what stands in line is given back, what is under way is awaited and
settled. Cancelled before that is done, it cuts the attempts short and gives their deliveries back, so that another process, or the
next start, makes them again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from relay.bell import Bell, Listener
from relay.delivery.lanes import Lanes, Place
from relay.delivery.outcome import Tried, judge
from relay.delivery.sender import Sender
from relay.delivery.settler import Settler
from relay.errors import StoreError
from relay.model import DeliveryStatus, Subscription
from relay.ports import Job, JobClaim, Meter, NullMeter, Settlement, Store
from relay.retry import DEFAULT_SCHEDULE

_log = logging.getLogger(__name__)

_TOPIC: Final = "deliveries"
_MOST_UNSETTLED: Final = 1000
_LARGEST_CLAIM: Final = 100
_LONGEST_WAIT: Final = timedelta(seconds=60)  # clocks jump
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_LAST_WRITE_SECONDS: Final = 5.0


class DeliveryWorker:
    """`jitter` gives a number from -1 to 1. `schedule` in seconds, see retry. At most `places` attempts at a time: half as many as a
    process may commonly have files and sockets open."""

    def __init__(self, store: Store, bell: Bell, sender: Sender, *, clock: Callable[[], datetime], jitter: Callable[[], float],
                 schedule: Sequence[float] = DEFAULT_SCHEDULE, places: int = 512, meter: Meter | None = None) -> None:
        self._store = store
        self._bell = bell
        self._sender = sender
        self._clock = clock
        self._jitter = jitter
        self._schedule = schedule
        self._meter: Meter = meter or NullMeter()
        self._lanes = Lanes(places)
        self._settler = Settler(store, clock=clock, on_settled=self._look_again)
        self._held: set[str] = set()
        self._attempts: asyncio.TaskGroup | None = None  # while it takes work
        self._is_hungry = False  # something may be due that could not be claimed for want of room
        self._is_overdue = False  # for want of any place at all: the next one that becomes free is for what has waited

    async def run(self, stopping: asyncio.Event) -> None:
        """Once: until `stopping` is set and all that was begun is settled."""
        with self._bell.listen(_TOPIC) as rung:
            async with asyncio.TaskGroup() as aside:
                settling = aside.create_task(self._settler.run(), name="settle deliveries")
                wake = aside.create_task(_ring_when(stopping, rung), name="stop deliveries")
                try:
                    async with asyncio.TaskGroup() as attempts:
                        await self._take_on(stopping, rung, attempts)
                        self._give_back(self._lanes.empty_all())
                    self._settler.close()
                    await asyncio.wait([settling])
                finally:
                    self._settler.release(tuple(self._held))
                    self._settler.close()
                    await asyncio.wait([settling], timeout=_LAST_WRITE_SECONDS)
                    settling.cancel()
                    wake.cancel()

    def room_for(self, subscription: Subscription) -> int:
        """See ports.Taker. The writing of outcomes comes before taking on more."""
        return 0 if self._is_overdue or self._settler.backlog >= _MOST_UNSETTLED else self._lanes.room_for_fresh(subscription)

    def take(self, jobs: Sequence[Job]) -> None:
        """See ports.Taker."""
        attempts, now = self._attempts, _ticks()
        self._held.update([job.delivery.id for job in jobs])
        self._give_back(jobs if attempts is None else [job for job in jobs if not self._begin(job, attempts, now)])

    async def _take_on(self, stopping: asyncio.Event, rung: Listener, attempts: asyncio.TaskGroup) -> None:
        self._attempts = attempts
        self._store.hand_to(self)
        try:
            await self._claim_until(stopping, rung, attempts)
        finally:  # before the group is left, which takes no more attempts then
            self._store.hand_to(None)
            self._attempts = None

    async def _claim_until(self, stopping: asyncio.Event, rung: Listener, attempts: asyncio.TaskGroup) -> None:
        failures = 0
        while not stopping.is_set():
            if self._lanes.free == 0 or self._settler.backlog >= _MOST_UNSETTLED:
                self._is_hungry = self._is_overdue = True
                await rung.wait(None)
                continue
            try:
                wait = await self._claim(stopping, attempts)
            except StoreError as exc:
                pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                failures += 1
                _log.warning("no deliveries can be claimed now, trying again in %g s: %s", pause, exc.message)
                await _wait_for(stopping, pause)
                continue
            failures = 0
            if wait is None or wait > timedelta(0):
                await rung.wait(wait.total_seconds() if wait else None)

    async def _claim(self, stopping: asyncio.Event, attempts: asyncio.TaskGroup) -> timedelta | None:
        """Claim and begin; how long to wait before the next claim if nothing rings (None: for ever)."""
        now, ticks = self._clock(), _ticks()
        rooms = self._lanes.rooms(ticks)
        self._is_hungry = True  # until the answer is here: what makes room meanwhile is to ring
        claim = await self._store.claim_deliveries(limit=min(self._lanes.free, _LARGEST_CLAIM), now=now, rooms=rooms)
        self._held.update([job.delivery.id for job in claim.jobs])
        begun_at = _ticks()
        self._give_back(claim.jobs if stopping.is_set() else [job for job in claim.jobs if not self._begin(job, attempts, begun_at)])
        self._is_hungry, self._is_overdue = any(room <= 0 for room in rooms.values()), False
        return self._time_until_next(claim, ticks)

    def _time_until_next(self, claim: JobClaim, ticks: float) -> timedelta | None:
        opens_at = self._lanes.opens_at(ticks)
        waits = [] if opens_at is None else [timedelta(seconds=opens_at - _ticks())]
        waits += [] if claim.next_at is None else [claim.next_at - self._clock()]
        return min(max(min(waits), timedelta(0)), _LONGEST_WAIT) if waits else None

    def _begin(self, job: Job, attempts: asyncio.TaskGroup, now: float) -> bool:
        """False: it can neither begin nor stand in line."""
        place = self._lanes.begin(job, now)
        if place is None:
            return self._lanes.wait(job)
        attempts.create_task(self._work(job, place, attempts), name=f"deliver to {job.subscription.id}")
        return True

    async def _work(self, job: Job, place: Place, attempts: asyncio.TaskGroup) -> None:
        """One attempt, then those that stood in line behind it."""
        while True:
            confirmed = job if self._store.is_current(job) else await self._confirm(job)
            if confirmed is None:
                self._lanes.leave(place)
                self._give_back([job])
            else:
                await self._attempt(confirmed, place)
            following = self._begin_line(job.subscription.id, attempts) if place.lane.line else None
            if following is None:
                return
            job, place = following

    async def _confirm(self, job: Job) -> Job | None:
        """As it is now: since it was read, or while it stood in line, its subscription may have been paused, deleted or changed."""
        try:
            return await self._store.confirm_job(job)
        except StoreError as exc:
            _log.warning("delivery %s goes back to the store, which cannot be asked now: %s", job.delivery.id, exc.message)
            return None

    def _begin_line(self, subscription_id: str, attempts: asyncio.TaskGroup) -> tuple[Job, Place] | None:
        """The first that may follow; any others that may are begun."""
        now = _ticks()
        first = self._lanes.follow(subscription_id, now)
        while following := first and self._lanes.follow(subscription_id, now):
            attempts.create_task(self._work(*following, attempts), name=f"deliver to {subscription_id}")
        self._give_back(self._lanes.empty_stranded(subscription_id))
        return first

    async def _attempt(self, job: Job, place: Place) -> None:
        try:
            tried = await self._sender.send(job)
        except Exception:  # noqa: BLE001 -- whatever it is, it must not stop the other deliveries
            _log.exception("a fault in Relay cost delivery %s an attempt", job.delivery.id)
            tried = self._sender.broken(job)
        now = self._clock()
        settlement = judge(tried, place.as_seen(job), schedule=self._schedule, now=now, jitter=self._jitter())
        place.lane.learn(tried, settlement.slowness)
        self._lanes.leave(place)
        self._tell(job, tried, settlement, now)
        self._held.discard(job.delivery.id)
        self._settler.settle(settlement)
        if settlement.disable:
            self._give_back(self._lanes.empty(job.subscription.id))

    def _tell(self, job: Job, tried: Tried, settlement: Settlement, now: datetime) -> None:
        attempt, is_success = tried.attempt, tried.is_success
        outcome = "delivered" if is_success else "failed"
        self._meter.observe("relay_attempt_seconds", attempt.duration_ms / 1000, outcome=outcome)
        if is_success:
            self._meter.observe("relay_event_delivery_seconds", max(0.0, (now - job.event.created_at).total_seconds()))
        _log.info("attempt %s", outcome, extra={
            "delivery": job.delivery.id, "subscription": job.subscription.id, "event_type": job.event.type.value,
            "attempt": attempt.number, "status": attempt.status_code, "ms": attempt.duration_ms, "error": attempt.error,
            "next_at": settlement.next_at, "disabled": settlement.disable,
        })

    def _give_back(self, jobs: Sequence[Job]) -> None:
        if jobs:
            ids = [job.delivery.id for job in jobs]
            self._held.difference_update(ids)
            self._settler.release(ids)

    def _look_again(self, settled: Sequence[Settlement]) -> None:
        """After a write: places are free that were wanted, or something is to be tried again sooner than was known."""
        if self._is_hungry or any(settlement.status is DeliveryStatus.PENDING for settlement in settled):
            self._bell.ring(_TOPIC)


def _ticks() -> float:
    return asyncio.get_running_loop().time()


async def _ring_when(stopping: asyncio.Event, rung: Listener) -> None:
    await stopping.wait()
    rung.ring()


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
