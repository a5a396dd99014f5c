"""How fast a key may ask: a sliding window, as providers count."""

from collections import OrderedDict, deque
from typing import Final

from relay.ports import Rate

_KEYS: Final = 1000


class Window:
    """At most `rate.count` in any `rate.seconds`, for each key (the latest 1,000 of them). None: no limit."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Whether one more is allowed now; if so it is counted. `now` in seconds of any clock that never goes back."""
        if self._rate is None:
            return True
        seen = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        if len(self._seen) > _KEYS:
            self._seen.popitem(last=False)
        while seen and seen[0] <= now - self._rate.seconds:
            seen.popleft()
        if len(seen) >= self._rate.count:
            return False
        seen.append(now)
        return True
