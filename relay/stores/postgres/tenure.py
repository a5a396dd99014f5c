"""The lanes that this process has: which subscriptions it alone sends to.

So all that is known of a receiver while it is sent to (how fast it is, how many attempts are under way, who stands in line) is known in
one place, and its rate and its order hold however many processes there are. What is recorded in `lanes.holder` is the truth; this is what
is remembered of it, and since when each was of no use.

A lane that was of no use for ten seconds is given up, so that the work spreads: because nothing came for it, or because this process
did not get round to it. One that is paced is kept for the span between two attempts, which nobody else knows. A process that begins nothing
more waits for no more than that span.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from relay.model import Subscription

_KEPT_SECONDS: Final = 10.0
"""As long as the slowest pace that a receiver is given for what it answers (see delivery.pace)."""


class _Kept(Struct):
    """One lane."""

    used_at: float
    span: float


class Tenure:
    """`ticks`: a clock that only goes forward."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self.is_ending = False
        self._lanes: dict[str, _Kept] = {}

    def __contains__(self, subscription_id: str) -> bool:
        return subscription_id in self._lanes

    def use(self, subscription: Subscription) -> None:
        """It is this process's, and something is sent there."""
        rate = subscription.rate_per_second
        self._lanes[subscription.id] = _Kept(self._ticks(), 1 / rate if rate else 0.0)

    def touch(self, subscription_ids: Iterable[str]) -> None:
        """Attempts have ended there, or are about to begin."""
        for subscription_id in subscription_ids:
            lane = self._lanes.get(subscription_id)
            if lane is not None:
                lane.used_at = self._ticks()

    def unused(self) -> Sequence[str]:
        """Those to be given up."""
        now, least = self._ticks(), 0.0 if self.is_ending else _KEPT_SECONDS
        return [name for name, lane in self._lanes.items() if now - lane.used_at >= max(least, lane.span)]

    def forget(self, subscription_ids: Sequence[str]) -> dict[str, float]:
        """To be called before they are given up, so that nothing more is handed over on the strength of them. Gives their spans."""
        return {subscription_id: self._lanes.pop(subscription_id).span for subscription_id in subscription_ids}

    def recall(self, spans: Mapping[str, float]) -> None:
        """They were not given up after all."""
        for subscription_id, span in spans.items():
            self._lanes.setdefault(subscription_id, _Kept(self._ticks(), span))

    def forget_all(self) -> None:
        self._lanes.clear()
