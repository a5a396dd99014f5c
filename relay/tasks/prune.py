"""What is finished long enough goes, a few rows at a time, until the process stops.

After each step the pruner rests three times as long as the step took, so that however much there is to remove, live writes have the
store for themselves most of the time. Pictures go before the rows that know of them: a stop in between leaves no file behind
that nobody knows.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from relay.errors import StoreError
from relay.model import Task
from relay.ports import Archive, Retention

_log = logging.getLogger(__name__)

_ROWS: Final = 200  # of one step
_TASKS: Final = 50  # looked at together
_PAUSE_SECONDS: Final = 300.0
_REST: Final = 3.0  # times as long as the step


class Pruner(Struct, frozen=True, kw_only=True):
    """`retention`: of accounts that have none of their own."""

    store: Retention
    archive: Archive
    retention: timedelta
    clock: Callable[[], datetime]

    async def run(self, stopping: asyncio.Event) -> None:
        """Now and then until `stopping`."""
        while not stopping.is_set():
            try:
                gone = await self.prune(stopping)
            except StoreError as exc:
                _log.warning("nothing can be pruned now: %s", exc.message)
            else:
                _log.log(logging.INFO if gone else logging.DEBUG, "pruned %d rows", gone)
            await _rest(stopping, _PAUSE_SECONDS)

    async def prune(self, stopping: asyncio.Event) -> int:
        """Everything whose time is over, once. Gives how many rows went."""
        return await self._repeat(self._prune_tasks, stopping) + await self._repeat(self._prune_rest, stopping)

    async def _repeat(self, step: Callable[[], Awaitable[int]], stopping: asyncio.Event) -> int:
        gone, all_gone = 1, 0
        while gone and not stopping.is_set():
            began = time.monotonic()
            gone = await step()
            all_gone += gone
            await _rest(stopping, _REST * (time.monotonic() - began) if gone else 0.0)
        return all_gone

    async def _prune_tasks(self) -> int:
        tasks = await self.store.expired_tasks(retention=self.retention, now=self.clock(), limit=_TASKS)
        for image_id in [image_id for task in tasks for image_id in _kept(task)]:
            await self.archive.discard(image_id)
        return await self.store.prune_tasks([task.id for task in tasks], limit=_ROWS) if tasks else 0

    async def _prune_rest(self) -> int:
        return await self.store.prune_rest(retention=self.retention, now=self.clock(), limit=_ROWS)


def _kept(task: Task) -> list[str]:
    """The pictures of a task that the archive keeps."""
    given = task.input.get("image")
    own = [given.removeprefix("image:")] if isinstance(given, str) and given.startswith("image:") else []
    return own + [image.id for image in task.images if image.kept]


async def _rest(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
