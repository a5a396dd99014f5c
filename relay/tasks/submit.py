"""Sending queued tasks to their provider, each at most once.

A task is marked submitted in the store before the first byte leaves, so that a crash at any later point leaves it in doubt and
never queued. Only what surely did not reach the provider is put back in the queue. What is in doubt waits for its callback
until the deadline where one can come, and ends `outcome_unknown` where none can.

The provider's limits hold by claiming no more than it takes: the rest waits in the queue.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, MutableMapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay.bell import Bell
from relay.errors import Fate, ProviderError, StoreError
from relay.model import Change, ErrorCode, Note, Task, Update, Via
from relay.ports import Archive, Fetcher, InputImage, Limits, Meter, Provider, Rate, Store
from relay.tasks.clock import PollClock
from relay.tasks.record import Recorder, ending, until_stored
from relay.tasks.routes import Routes

_log = logging.getLogger(__name__)
_MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024
_IMAGE_TIMEOUT: Final = 30.0
_LONGEST_PAUSE: Final = 60.0
_ENOUGH_TRIES: Final = 6
_STORE_PAUSE: Final = 1.0
_LAST_WRITE_SECONDS: Final = 5.0


class Submitter(Struct, frozen=True, kw_only=True):
    """Sends the tasks of one provider. `credits`: by provider what it last said is left, noted there."""

    provider: Provider
    routes: Routes
    store: Store
    recorder: Recorder
    archive: Archive
    fetcher: Fetcher
    bell: Bell
    poll_clock: PollClock
    clock: Callable[[], datetime]
    jitter: Callable[[], float]
    meter: Meter
    credits: MutableMapping[str, float] = msgspec.field(default_factory=dict)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then what is under way is awaited. Cancelled, it settles what was under way as in doubt.

        That tasks end matters only while others wait for that, and new ones only while none does: so a claim is not made for every end."""
        async with asyncio.TaskGroup() as group:
            with self.bell.listen("submissions") as queued, self.bell.listen(f"room:{self.provider.name}") as room:
                while not stopping.is_set():
                    is_full, pause = await self._send_due(group)
                    await (room if is_full else queued).wait(pause)

    async def _send_due(self, group: asyncio.TaskGroup) -> tuple[bool, float | None]:
        """Whether there is no room for what is left, and for how long at most to wait."""
        now = self.clock()
        try:
            claim = await self.store.claim_submissions(
                self.provider.name, limits=with_margin(self.provider.limits), deadline=timedelta(seconds=self.provider.deadline), now=now)
        except StoreError as exc:
            _log.warning("cannot claim submissions of %s: %s", self.provider.name, exc)
            return False, _STORE_PAUSE
        for task in claim.tasks:
            group.create_task(self.send(task), name=f"submit {task.id}")
        return claim.is_full, None if claim.next_at is None else max(0.0, (claim.next_at - now).total_seconds())

    async def settle_doubts(self, stopping: asyncio.Event) -> None:
        """What processes left that died while a request was under way: of those before this one, and, until `stopping`, of the others."""
        with self.bell.listen("doubtful") as rung:
            while not stopping.is_set():
                await rung.wait(await self._settle_doubtful())

    async def _settle_doubtful(self) -> float | None:
        try:
            doubtful = await self.store.doubtful(self.provider.name)
        except StoreError as exc:
            _log.warning("cannot look for doubtful submissions of %s: %s", self.provider.name, exc)
            return _STORE_PAUSE
        for task in doubtful:
            await self._doubt(task, "Relay died while the request was under way")
        return None

    async def send(self, task: Task) -> None:
        """Submit a claimed task and record the answer."""
        try:
            image = await self._input_image(task)
        except ValueError as exc:
            await self._end(task, ending(ErrorCode.INVALID_REQUEST, f"image: {exc}"), None)
        except asyncio.CancelledError:  # nothing was sent yet
            await _in_time(self.store.defer_submission(task.id, until=self.clock(), note=None, sends=task.sends))
            raise
        else:
            await self._submit(task, image)

    async def _submit(self, task: Task, image: InputImage | None) -> None:
        try:
            update = await self.provider.submit(task, image=image, callback=self.routes.target_for(task))
        except asyncio.CancelledError:
            await _in_time(self._doubt(task, "Relay was stopped while the request was under way"))
            raise
        except ProviderError as exc:
            await self._refused(task, exc)
        except Exception:  # noqa: BLE001 -- a bug in one submission puts that one in doubt, never the loop
            _log.exception("submitting %s failed in an unforeseen way", task.id)
            await self._doubt(task, "an internal error while the request was under way")
        else:
            await self._answered(task, update)

    async def _input_image(self, task: Task) -> InputImage | None:
        image: str | None = task.input.get("image")
        if image is None:
            return None
        if image.startswith("image:"):
            return await self._kept_image(image.removeprefix("image:"))
        if self.provider.image_as == "url":
            return InputImage(url=image)
        picture = await self.fetcher.fetch(image, max_bytes=_MAX_IMAGE_BYTES, timeout=_IMAGE_TIMEOUT)
        return InputImage(data=picture.data)

    async def _kept_image(self, image_id: str) -> InputImage:
        if self.provider.image_as == "url":
            return InputImage(url=self.routes.link(image_id, self.clock())[0])
        kept = await self.archive.read(image_id)
        if kept is None:
            raise ValueError("the picture is no longer there")
        return InputImage(data=kept[0])

    async def _answered(self, task: Task, update: Update) -> None:
        self.meter.count("relay_submissions_total", provider=self.provider.name, result=update.status)
        if update.credits_left is not None:
            self.credits[self.provider.name] = update.credits_left
            self.meter.set("relay_provider_credits", update.credits_left, provider=self.provider.name)
        await self.recorder.record_surely(Change(
            task_id=task.id, via=Via.RESPONSE, now=self.clock(), update=update, releases=True, next_at=self._first_look(task)))

    def _first_look(self, task: Task) -> datetime:
        if self.routes.are_callbacks_expected(task.provider):
            return self.clock() + self.poll_clock.wait_for_callback(self.jitter())
        return self.clock() + self.poll_clock.wait_for_poll(0.0, self.jitter())

    async def _refused(self, task: Task, error: ProviderError) -> None:
        self.meter.count("relay_submissions_total", provider=self.provider.name, result=error.fate)
        _log.info("submission of %s: %s (%s)", task.id, error.message, error.fate)
        match error.fate:
            case Fate.REFUSED:
                await self._fail(task, error)
            case Fate.NOT_ACCEPTED:
                await self._put_off(task, error)
            case Fate.UNKNOWN:
                await self._doubt(task, error.message)

    async def _fail(self, task: Task, error: ProviderError) -> None:
        update = ending(ErrorCode(error.reason), error.message, provider_code=error.provider_code)
        await self._end(task, update, Via.RESPONSE)

    async def _put_off(self, task: Task, error: ProviderError) -> None:
        now = self.clock()
        given_up_at = task.created_at + timedelta(seconds=self.provider.deadline)
        if now >= given_up_at and task.sends >= _ENOUGH_TRIES:
            await self._fail(task, error)
            return
        pause = min(2.0 ** min(task.sends - 1, 10), _LONGEST_PAUSE) * (1 + 0.2 * self.jitter())
        until = now + timedelta(seconds=max(pause, error.retry_after or 0.0))
        note = Note(task_id=task.id, at=now, kind="submission_deferred", detail=error.message)
        await until_stored(lambda: self.store.defer_submission(task.id, until=until, note=note, sends=task.sends), task.id)

    async def _doubt(self, task: Task, why: str) -> None:
        if not self.routes.are_callbacks_expected(task.provider):
            message = f"the request may have reached the provider, and is never sent twice: {why}"
            await self._end(task, ending(ErrorCode.OUTCOME_UNKNOWN, message), None)
            return
        note = Note(task_id=task.id, at=self.clock(), kind="submission_in_doubt", detail=why)
        deadline_at = task.deadline_at or self.clock() + timedelta(seconds=self.provider.deadline)
        await until_stored(lambda: self.store.schedule(task.id, at=deadline_at, polled=False, note=note), task.id)

    async def _end(self, task: Task, update: Update, via: Via | None) -> None:
        await self.recorder.record_surely(Change(task_id=task.id, via=via, now=self.clock(), update=update, releases=True))


def with_margin(limits: Limits) -> Limits:
    """The provider counts requests when they arrive, we when they leave: one that was slow must not meet one of the next span."""
    rate = limits.rate
    if rate is None:
        return limits
    return msgspec.structs.replace(limits, rate=Rate(rate.count, rate.seconds + min(1.0, 0.1 * rate.seconds)))


async def _in_time(write: Coroutine[Any, Any, None]) -> None:
    """A last write at the stop: not for ever, if the store takes nothing; the next start settles what is left."""
    with contextlib.suppress(TimeoutError, StoreError):
        async with asyncio.timeout(_LAST_WRITE_SECONDS):
            await write
