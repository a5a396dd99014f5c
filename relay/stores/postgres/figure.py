"""Figures for metrics. Each is read from an index that holds only what is not finished."""

from datetime import datetime

from relay.ports.store import Figures as Taken
from relay.stores.postgres.connection import Readers
from relay.stores.row import micros


class Figures:
    """The figures' part of the store."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def figures(self, *, now: datetime) -> Taken:
        tasks = await self._readers.fetch(
            """SELECT provider, status, count(*) AS count FROM tasks WHERE status = 'queued' GROUP BY provider, status
            UNION ALL SELECT provider, status, count(*) AS count FROM tasks WHERE status IN ('submitted', 'processing')
            GROUP BY provider, status""", {})
        pending = await self._readers.fetch_one("SELECT count(*) AS count FROM deliveries WHERE status = 'pending'", {})
        due = await self._readers.fetch_one(
            """SELECT min((SELECT next_attempt_at FROM deliveries WHERE deliveries.subscription_id = lanes.subscription_id
                AND deliveries.status = 'pending' AND deliveries.holder IS NULL AND NOT behind ORDER BY next_attempt_at LIMIT 1)) AS at
            FROM lanes WHERE due_at <= :now""", {"now": micros(now)})
        oldest = due["at"] if due and due["at"] is not None else micros(now)
        return Taken(
            open_tasks={(row["provider"], row["status"]): row["count"] for row in tasks},
            pending_deliveries=pending["count"] if pending else 0, oldest_due_seconds=max(0.0, (micros(now) - oldest) / 1e6))
