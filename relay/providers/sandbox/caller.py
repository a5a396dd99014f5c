"""The callbacks of one job, in their order, with the faults that were asked for."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay.providers.sandbox.callback import CallbackSender
from relay.providers.sandbox.intake import Ticket
from relay.providers.sandbox.job import Job, State

_SHORT: Final = 2.0  # seconds; what takes longer is worth more news
_PAGE: Final = b"<!doctype html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"


class Letter(Struct, frozen=True, kw_only=True):
    """One callback: where to, and what it says beside its content type."""

    url: str
    body: bytes
    headers: Mapping[str, str] = {}


def encode(body: Any) -> bytes:  # noqa: ANN401 -- whatever is JSON
    """A letter's body."""
    return msgspec.json.encode(body)


class Caller:
    """Calls back about jobs. `final` and `progress` (of a percentage) write the letters, or None where none was asked for; `count`
    is told of each POST before it begins; `retries`: seconds to wait after each failure before the next try."""

    def __init__(self, sender: CallbackSender, count: Callable[[Job], None], final: Callable[[Job], Letter | None],
                 progress: Callable[[Job, int], Letter | None] | None = None, retries: Sequence[float] = ()) -> None:
        self._sender = sender
        self._count = count
        self._final = final
        self._progress = progress
        self._retries = tuple(retries)

    async def follow(self, ticket: Ticket, answered: asyncio.Event, called: asyncio.Event) -> None:
        """All callbacks of a job: none before `answered`, unless they are to come early. `called` is set when the end was told once,
        or will never be."""
        try:
            if not ticket.job.faults.early_callback:
                await answered.wait()
            if not ticket.job.faults.no_callback:
                await self._follow(ticket, called)
        finally:
            called.set()

    async def _follow(self, ticket: Ticket, called: asyncio.Event) -> None:
        await self._tell_progress(ticket)
        await asyncio.wait({ticket.work})
        job = ticket.job
        letter = None if job.state is State.RUNNING else self._final(job)
        if letter is None:
            return
        if job.faults.unreadable_callback:
            letter = Letter(url=letter.url, body=_PAGE, headers={**letter.headers, "content-type": "text/html"})
        copies = 2 if job.faults.duplicate_callback else 1
        ends = [self._deliver(job, letter, called) for _ in range(copies)]
        await asyncio.gather(*ends)
        if job.faults.late_progress and self._progress:
            await self._post(job, self._progress(job, 80))

    async def _tell_progress(self, ticket: Ticket) -> None:
        if self._progress is None or ticket.job.faults.early_callback:
            return
        job, loop = ticket.job, asyncio.get_running_loop()
        for percentage in (40,) if job.duration < _SHORT else (20, 40, 60, 80):
            moment = job.started + job.duration * percentage / 100
            done, _ = await asyncio.wait({ticket.work}, timeout=max(0.0, moment - loop.time()))
            if done:
                return
            await self._post(job, self._progress(job, percentage))

    async def _deliver(self, job: Job, letter: Letter, called: asyncio.Event) -> None:
        """Until it is taken or the tries are used up."""
        for wait in (*self._retries, None):
            status = await self._post(job, letter)
            called.set()
            if wait is None or (status is not None and 200 <= status < 300):
                return
            await asyncio.sleep(wait)

    async def _post(self, job: Job, letter: Letter | None) -> int | None:
        if letter is None:
            return None
        self._count(job)
        return await self._sender.post(letter.url, letter.body, {"content-type": "application/json", **letter.headers})
