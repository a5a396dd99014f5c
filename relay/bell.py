"""Waking whoever waits for something to change, inside one process.

A ring says "look again", never what changed: the truth is in the store. Register first, then look, then wait, and no change
can slip between the look and the wait. A ring that nobody listens to is forgotten.

Topics are strings: `submissions`, `room:PROVIDER`, `doubtful`, `polls`, `deliveries`, `moves`, `replays`, `task:ID`, `events:ACCOUNT_ID`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Listener:
    """One waiter on one topic."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float | None) -> bool:
        """Until the next ring, or at most `seconds`; True if rung. A ring since the last wait counts."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Bell:
    """All topics of one process. To be used from its event loop only."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)

    def ring(self, topic: str) -> None:
        for listener in self._listeners.get(topic, ()):
            listener.ring()

    def ring_all(self) -> None:
        """Wake everybody: the process is stopping."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.ring()

    @contextmanager
    def listen(self, topic: str) -> Iterator[Listener]:
        listener = Listener()
        self._listeners[topic].add(listener)
        try:
            yield listener
        finally:
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]
