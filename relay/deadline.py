"""The ends of things that must not take for ever, all of them under one timer.

A timer of its own for each exchange takes longer than all else that is done to keep count of it, and nearly every one is taken back
unused. So one timer stands at the earliest end known; only when it goes off is it looked what is over and when the next end comes.
While nothing is watched there is none, but the one that was set last, once.
"""

import asyncio
import math
import time
from typing import Final, Protocol

_GRAIN: Final = 0.01  # seconds by which an end may come late, so that many of them come together


class Limited(Protocol):
    """What has an end."""

    def expire(self) -> None:
        """It has come. Called in the event loop."""
        ...


class Deadlines:
    """To be used from one event loop only. Times are those of `time.monotonic`."""

    def __init__(self) -> None:
        self._ends: dict[Limited, float] = {}
        self._looks_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, what: Limited, end: float) -> None:
        """Unless it is forgotten before, `what` expires at `end`, once, and never sooner."""
        self._ends[what] = end
        if end < self._looks_at:
            self._look_at(end)

    def forget(self, what: Limited) -> None:
        """It has ended in time; or is not watched at all."""
        self._ends.pop(what, None)

    def close(self) -> None:
        """Watch nothing any more."""
        self._ends.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at, self._timer = math.inf, None

    def _look_at(self, end: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = end
        self._timer = asyncio.get_running_loop().call_later(end - time.monotonic() + _GRAIN, self._look)

    def _look(self) -> None:
        self._looks_at, self._timer = math.inf, None
        now = time.monotonic()
        for what in [what for what, end in self._ends.items() if end <= now]:
            if self._ends.pop(what, None) is not None:  # another's end may have been the end of this one too
                what.expire()
        if self._ends:
            self._look_at(min(self._ends.values()))
