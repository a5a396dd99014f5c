"""Asking providers how tasks stand: those that never call back, those whose callback is late or not to be believed, and the end of
patience at a task's deadline.

Questions keep to the provider's query rate. Where more tasks wait than the rate allows, the longest due is asked first, so that all of
them are asked equally seldom; the gauge relay_reconcile_stretch_seconds shows by how much.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from relay.bell import Bell, Listener
from relay.errors import ProviderError, StoreError
from relay.model import Change, ErrorCode, Note, Task, Update, Verdict, Via
from relay.ports import Applied, Meter, Provider, Rate, Store
from relay.tasks.clock import PollClock
from relay.tasks.record import Recorder, ending, until_stored
from relay.tasks.routes import Routes

_log = logging.getLogger(__name__)
_AT_ONCE: Final = 16
_STORE_PAUSE: Final = 1.0


class Pace:
    """Spaces questions evenly, by the provider's query rate."""

    def __init__(self, rate: Rate | None, now: Callable[[], float]) -> None:
        self._gap = rate.seconds / rate.count if rate else 0.0
        self._now = now
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next free moment."""
        now = self._now()
        at = max(now, self._next)
        self._next = at + self._gap
        if at > now:
            await asyncio.sleep(at - now)


class Poller(Struct, frozen=True, kw_only=True):
    """Looks after the open tasks of one provider."""

    provider: Provider
    routes: Routes
    store: Store
    recorder: Recorder
    bell: Bell
    poll_clock: PollClock
    pace: Pace
    clock: Callable[[], datetime]
    jitter: Callable[[], float]
    meter: Meter
    asking: set[str] = msgspec.field(default_factory=set)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then the questions under way are awaited."""
        async with asyncio.TaskGroup() as group:
            with self.bell.listen("polls") as rung:
                while not stopping.is_set():
                    await rung.wait(await self._look_after_due(group, rung))

    async def _look_after_due(self, group: asyncio.TaskGroup, rung: Listener) -> float | None:
        free = _AT_ONCE - len(self.asking)
        if free <= 0:
            return None  # the next one that ends rings
        now = self.clock()
        try:
            claim = await self.store.claim_polls(self.provider.name, limit=free, now=now)
        except StoreError as exc:
            _log.warning("cannot claim polls of %s: %s", self.provider.name, exc)
            return _STORE_PAUSE
        late = (now - claim.due_since).total_seconds() if claim.due_since else 0.0
        self.meter.set("relay_reconcile_stretch_seconds", max(late, 0.0), provider=self.provider.name)
        for task in claim.tasks:
            self.asking.add(task.id)
            group.create_task(self._take(task, rung), name=f"poll {task.id}")
        return None if claim.next_at is None else max(0.0, (claim.next_at - self.clock()).total_seconds())

    async def _take(self, task: Task, rung: Listener) -> None:
        try:
            await self.look_after(task)
        finally:
            self.asking.discard(task.id)
            rung.ring()

    async def look_after(self, task: Task) -> None:
        """Ask for a claimed task, record the answer, and end it if its time is over. One without an id waits for its deadline."""
        if task.provider_task_id is None and not self._is_over(task):
            await until_stored(lambda: self.store.schedule(task.id, at=self._deadline(task), polled=False), task.id)
            return
        try:
            update = await self._ask(task)
        except ProviderError as exc:
            await self._unanswered(task, exc.message)
        except Exception:  # noqa: BLE001 -- a bug in one answer costs that answer, never the loop
            _log.exception("asking for %s failed in an unforeseen way", task.id)
            await self._unanswered(task, "an internal error")
        else:
            await self._answered(task, update)

    async def _ask(self, task: Task) -> Update:
        if task.provider_task_id is None:
            return ending(ErrorCode.OUTCOME_UNKNOWN, "no answer and no callback came before the deadline")
        await self.pace.turn()
        return await self.provider.fetch(task)

    async def _answered(self, task: Task, update: Update) -> None:
        self.meter.count("relay_polls_total", provider=self.provider.name, result=update.status)
        if update.status.is_final and task.provider_task_id and task.submitted_at:
            self.poll_clock.learn((self.clock() - task.submitted_at).total_seconds())
        if not update.status.is_final and self._is_over(task):
            update = ending(ErrorCode.TIMEOUT, "the provider did not finish before the deadline")
        await self._record(task, update)

    async def _record(self, task: Task, update: Update) -> Applied | None:
        is_ours = update.error is not None and update.error.code in (ErrorCode.TIMEOUT, ErrorCode.OUTCOME_UNKNOWN)
        applied = await self.recorder.record_surely(Change(
            task_id=task.id, via=None if is_ours else Via.POLL, now=self.clock(), update=update, releases=True,
            next_at=self._next_look(task)))
        if applied is not None and applied.verdict is Verdict.MISMATCHED:
            _log.warning("%s answered for another task than %s", self.provider.name, task.id)
        return applied

    async def _unanswered(self, task: Task, why: str) -> None:
        self.meter.count("relay_polls_total", provider=self.provider.name, result="unanswered")
        if self._is_over(task):
            await self._record(task, ending(ErrorCode.TIMEOUT, f"no result before the deadline; last: {why}"))
            return
        note = Note(task_id=task.id, at=self.clock(), kind="poll_failed", detail=why)
        at = self._next_look(task)
        await until_stored(lambda: self.store.schedule(task.id, at=at, polled=True, note=note), task.id)

    def _is_over(self, task: Task) -> bool:
        return self.clock() >= self._deadline(task)

    def _deadline(self, task: Task) -> datetime:
        """One that was put back in the queue, and then called back after all, has none of its own."""
        return task.deadline_at or (task.submitted_at or task.created_at) + timedelta(seconds=self.provider.deadline)

    def _next_look(self, task: Task) -> datetime:
        now = self.clock()
        if self.routes.are_callbacks_expected(task.provider):
            return now + self.poll_clock.wait_for_callback(self.jitter())
        return now + self.poll_clock.wait_for_poll((now - (task.submitted_at or task.created_at)).total_seconds(), self.jitter())
