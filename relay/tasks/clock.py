"""When to ask a provider next: pure.

A provider without callbacks is asked when its result is likely there: nothing before most of the time that its tasks lately
took has passed, then briskly, then ever more slowly. One that calls back is asked only if the callback is late, and again
after the same span, so that no finished task stays unknown for longer. Jitter keeps tasks that were submitted together from being
asked about together.
"""

from datetime import timedelta
from typing import Final

_FIRST_GUESS: Final = 2.0
_WEIGHT: Final = 0.2
_SHORTEST: Final = 0.4
_LONGEST: Final = 15.0


class PollClock:
    """Learns how long a provider's tasks take. `reconcile_after`: the span for a provider that calls back, in seconds."""

    def __init__(self, *, reconcile_after: float) -> None:
        self.reconcile_after = reconcile_after
        self.expected = _FIRST_GUESS

    def learn(self, seconds: float) -> None:
        """A task took this long, from submission to the end as we saw it."""
        self.expected += _WEIGHT * (seconds - self.expected)

    def wait_for_poll(self, age: float, jitter: float) -> timedelta:
        """How long until a task of this age (seconds since submission) is to be asked for. `jitter` lies in [-1, 1]."""
        early = 0.8 * self.expected - age
        overdue = age - 1.5 * self.expected
        wait = early if early > 0 else max(0.1 * self.expected, 0.3 * overdue)
        return timedelta(seconds=min(max(wait, _SHORTEST), _LONGEST) * (1 + 0.2 * jitter))

    def wait_for_callback(self, jitter: float) -> timedelta:
        """How long a callback may be late before the provider is asked: at most `reconcile_after`, never more."""
        return timedelta(seconds=self.reconcile_after * (0.9 + 0.1 * jitter))
