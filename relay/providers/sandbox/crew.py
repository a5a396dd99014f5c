"""Work that goes on after the answer: jobs under way, in a task group that somebody runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from relay.providers.sandbox.refusal import Refused, Why

_MOST: Final = 20_000


class Crew:
    """Starts named tasks inside the group of `run`. One that dies takes `run` with it."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then work whose answer a client is waiting for is awaited, and the rest given up."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await stopping.wait()
            finally:
                self._group = None
                for task in self._tasks - self._held:
                    task.cancel()

    @property
    def is_full(self) -> bool:
        """Whether there is so much under way that no more should be started."""
        return len(self._tasks) >= _MOST

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Raises Refused if nobody runs the crew (any more)."""
        if self._group is None:
            work.close()
            raise Refused(Why.BROKEN, "The sandbox is not running")
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait_for(self, task: asyncio.Task[None]) -> None:
        """Until the work is done or given up. Cancelling the wait gives the work up."""
        self._held.add(task)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self._held.discard(task)
