"""How fast a subscription is sent to: pure.

Its own `rate_per_second` and `max_concurrent` say how fast at most; without them nothing limits the rate, and eight attempts may be
under way at a time. An answer that says "too much" (429) or "not now" (502, 503, 504) halves both, each success doubles them again
until they are what they were. The slowest is one attempt under way and one begun every ten seconds. A subscription without a rate of
its own is slowed down from a hundred a second.

`slowness` counts the halvings: 0 is normal.
"""

import math
from typing import Final

from relay.model import Subscription

NORMAL_CONCURRENT: Final = 8
_NORMAL_RATE: Final = 100.0
_SLOWEST_RATE: Final = 0.1
_SLOW_DOWN: Final = frozenset({429, 502, 503, 504})


def next_slowness(subscription: Subscription, status_code: int | None, *, is_success: bool) -> int:
    """After an attempt. It ends at the number of halvings that makes a difference, so that as many successes make up for it."""
    if is_success:
        return max(0, subscription.slowness - 1)
    if status_code in _SLOW_DOWN:
        return min(subscription.slowness + 1, _slowest(subscription))
    return subscription.slowness


def concurrency(subscription: Subscription) -> int:
    """How many attempts may be under way at a time. What is ordered goes one by one."""
    if subscription.ordered:
        return 1
    return max(1, _concurrent(subscription) >> subscription.slowness)


def interval(subscription: Subscription) -> float:
    """Seconds from the beginning of one attempt to that of the next, at least."""
    if subscription.slowness == 0 and subscription.rate_per_second is None:
        return 0.0
    rate = _rate(subscription)
    return 1 / max(math.ldexp(rate, -subscription.slowness), min(rate, _SLOWEST_RATE))


def _rate(subscription: Subscription) -> float:
    return subscription.rate_per_second or _NORMAL_RATE


def _concurrent(subscription: Subscription) -> int:
    return subscription.max_concurrent or NORMAL_CONCURRENT


def _slowest(subscription: Subscription) -> int:
    halvings_of_rate = math.ceil(math.log2(max(1.0, _rate(subscription) / _SLOWEST_RATE)))
    return max(halvings_of_rate, _concurrent(subscription).bit_length() - 1)
