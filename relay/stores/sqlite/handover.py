"""Fresh deliveries handed to whoever sends them, in memory, the moment that they are recorded.

Most deliveries are attempted at once and succeed. To write them down as due, then look for what is due, lease it and read it again
would cost more than all the rest; so those that their taker has room for are written down as held by it, and handed over after
the commit. If the process dies in between, the next start frees them as it frees all that a dead process held.

Whoever has others due already waits for its turn behind them. Of ordered subscriptions nothing is handed over: what may go there,
the claim decides.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from relay.model import DeliveryStatus
from relay.ports.store import Job, Taker
from relay.stores.sqlite.row import json_text, micros
from relay.stores.sqlite.transaction import Transaction


class Handover:
    """To be used inside the writer's transactions, but for `taker`."""

    def __init__(self) -> None:
        self.taker: Taker | None = None

    def offer(self, transaction: Transaction, jobs: Sequence[Job], now: datetime) -> list[Job]:
        """Those that are handed over after the commit: they are to be recorded as held."""
        taker = self.taker
        if taker is None or not jobs:
            return []
        room: Counter[str] = Counter()
        for subscription in {job.subscription.id: job.subscription for job in jobs}.values():
            room[subscription.id] = taker.room_for(subscription)
        for subscription_id in _with_others_due(transaction, [key for key in room if room[key] > 0], now):
            room[subscription_id] = 0
        taken = [job for job in jobs if _may_go(job, now) and _takes_place(room, job.subscription.id)]
        if taken:
            transaction.afterwards(lambda: taker.take(taken))
        return taken


def _may_go(job: Job, now: datetime) -> bool:
    delivery = job.delivery
    if job.subscription.ordered:
        return False
    return delivery.status is DeliveryStatus.PENDING and delivery.next_attempt_at is not None and delivery.next_attempt_at <= now


def _takes_place(room: Counter[str], subscription_id: str) -> bool:
    room[subscription_id] -= 1
    return room[subscription_id] >= 0


def _with_others_due(transaction: Transaction, subscription_ids: Sequence[str], now: datetime) -> list[str]:
    if not subscription_ids:
        return []
    rows = transaction.fetch(
        "SELECT subscription_id FROM lanes WHERE subscription_id IN (SELECT value FROM json_each(:ids)) AND due_at <= :now",
        {"ids": json_text(subscription_ids), "now": micros(now)})
    return [row["subscription_id"] for row in rows]
