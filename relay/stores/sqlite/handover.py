"""Fresh deliveries handed to whoever sends them, in memory, the moment that they are recorded.

Most deliveries are attempted at once and succeed. To write them down as due, then look for what is due, lease it and read it again
would cost more than all the rest; so those that their taker has room for are written down as held by it, and handed over after
the commit. If the process dies in between, the next start frees them as it frees all that a dead process held.
"""

from collections.abc import Sequence
from datetime import datetime

from relay.ports.store import Job, Taker
from relay.stores.offer import rooms_for, taken_of
from relay.stores.row import json_text, micros
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
        rooms = rooms_for(taker, jobs)
        for subscription_id in _with_others_due(transaction, [key for key in rooms if rooms[key] > 0], now):
            rooms[subscription_id] = 0
        taken = taken_of(jobs, rooms, now)
        if taken:
            transaction.afterwards(lambda: taker.take(taken))
        return taken


def _with_others_due(transaction: Transaction, subscription_ids: Sequence[str], now: datetime) -> list[str]:
    if not subscription_ids:
        return []
    rows = transaction.fetch(
        "SELECT subscription_id FROM lanes WHERE subscription_id IN (SELECT value FROM json_each(:ids)) AND due_at <= :now",
        {"ids": json_text(subscription_ids), "now": micros(now)})
    return [row["subscription_id"] for row in rows]
