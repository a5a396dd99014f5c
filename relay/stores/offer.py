"""Which fresh deliveries their taker may have: pure, so that every store hands over alike.

Whoever has others due already waits for its turn behind them. Of ordered subscriptions nothing is handed over: what may go there,
the claim decides.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from relay.model import DeliveryStatus
from relay.ports.store import Job, Taker


def rooms_for(taker: Taker, jobs: Sequence[Job]) -> Counter[str]:
    """How many there is room for, by the id of the subscription."""
    subscriptions = {job.subscription.id: job.subscription for job in jobs}
    return Counter({key: taker.room_for(one) for key, one in subscriptions.items()})


def taken_of(jobs: Sequence[Job], rooms: Counter[str], now: datetime) -> list[Job]:
    """Those that find room; `rooms` is left with what remains of it."""
    return [job for job in jobs if may_go(job, now) and _takes_place(rooms, job.subscription.id)]


def may_go(job: Job, now: datetime) -> bool:
    """Whether it can be attempted now, as far as it is up to itself."""
    delivery = job.delivery
    if job.subscription.ordered:
        return False
    return delivery.status is DeliveryStatus.PENDING and delivery.next_attempt_at is not None and delivery.next_attempt_at <= now


def _takes_place(rooms: Counter[str], subscription_id: str) -> bool:
    rooms[subscription_id] -= 1
    return rooms[subscription_id] >= 0
