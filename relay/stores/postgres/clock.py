"""The time by the database's clock, which all processes go by, so that it does no harm if theirs are wrong.

It is asked for with every heartbeat, and goes on in between by a clock that only goes forward: whoever sets this machine's clock changes
nothing. What was learnt is corrected only by what it cannot be reconciled with, since an answer may have been under way for as long as the
question took.
"""

from collections.abc import Callable
from datetime import datetime, timedelta


class SharedClock:
    """`local`: what is gone by until the database was asked. `ticks`: a clock that only goes forward."""

    def __init__(self, local: Callable[[], datetime], ticks: Callable[[], float]) -> None:
        self._local = local
        self._ticks = ticks
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._known is None:
            return self._local()
        at, ticks = self._known
        return at + timedelta(seconds=self._ticks() - ticks)

    def learn(self, told: datetime, asked: float, answered: float) -> None:
        """It was `told` at some moment between two others."""
        earliest, latest = told + timedelta(seconds=self._ticks() - answered), told + timedelta(seconds=self._ticks() - asked)
        if self._known is None or not earliest <= self.now() <= latest:
            self._known = (told, (asked + answered) / 2)
