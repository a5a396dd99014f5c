"""What the status of a subscription makes of its deliveries, moved in steps of a few milliseconds each.

The first step is taken together with the change of status, so where few deliveries wait all is done at once. What is left is noted in
the table `moves` and follows; a crash in between leaves the note. Until the last step nothing of that subscription is claimed, and
whoever looks at its deliveries sees them as if all had been moved (the view `deliveries_shown`).

A later change takes the place of an earlier one, with one exception: what is still to be held cannot be told from what comes after
a resumption, so that waits for it.
"""

from datetime import datetime
from typing import Final

from relay.stores.postgres.connection import Readers
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.stores.row import Parameters, micros

STEP: Final = 1_000
"""Deliveries that are moved in one transaction."""

_SQL: Final = {
    "hold": """UPDATE deliveries SET status = 'held', next_attempt_at = NULL WHERE seq IN (
        SELECT seq FROM deliveries WHERE subscription_id = :id AND status = 'pending' AND NOT (manual AND next_attempt_at > :at)
        LIMIT :limit FOR UPDATE) RETURNING seq""",
    "send": """UPDATE deliveries SET status = 'pending', next_attempt_at = :at WHERE seq IN (
        SELECT seq FROM deliveries WHERE subscription_id = :id AND status = 'held' LIMIT :limit FOR UPDATE) RETURNING seq""",
    "cancel": """UPDATE deliveries SET status = 'cancelled', next_attempt_at = NULL, completed_at = :at WHERE seq IN (
        SELECT seq FROM (
            SELECT seq FROM (SELECT seq FROM deliveries WHERE subscription_id = :id AND status = 'pending' LIMIT :limit FOR UPDATE) AS one
            UNION ALL
            SELECT seq FROM (SELECT seq FROM deliveries WHERE subscription_id = :id AND status = 'held' LIMIT :limit FOR UPDATE) AS other
        ) AS waiting LIMIT :limit) RETURNING seq""",
}
"""What is moved has no place any more among what is still to be moved, so every step begins where the last one ended."""


class Moves:
    """The store's part that finishes what was begun."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def move_deliveries(self) -> bool:
        row = await self._readers.fetch_one("SELECT subscription_id FROM moves LIMIT 1", {})
        if row is not None:
            await self._writer.write_long(lambda transaction: _go_on(transaction, row["subscription_id"]))
        return row is not None

    async def finish(self, subscription_id: str) -> None:
        """All that is left of one subscription."""
        while await self._writer.write_long(lambda transaction: _go_on(transaction, subscription_id)):
            continue


async def hold_pending(transaction: Transaction, subscription_id: str, now: datetime) -> None:
    """Its subscription is not active any more. An attempt under way goes on; what it makes of it is decided at its end."""
    await _begin(transaction, subscription_id, "hold", now)


async def send_held(transaction: Transaction, subscription_id: str, now: datetime) -> None:
    """All due at the same moment: claimed in the order of recording."""
    await _begin(transaction, subscription_id, "send", now)


async def cancel_waiting(transaction: Transaction, subscription_id: str, now: datetime) -> None:
    """Its subscription is deleted."""
    await _begin(transaction, subscription_id, "cancel", now)


async def is_being_held(transaction: Transaction, subscription_id: str) -> bool:
    """Whether deliveries of it are still to be held."""
    return bool(await transaction.fetch("SELECT 1 FROM moves WHERE subscription_id = :id AND kind = 'hold'", {"id": subscription_id}))


async def _begin(transaction: Transaction, subscription_id: str, kind: str, now: datetime) -> None:
    await transaction.run(
        """INSERT INTO moves (subscription_id, kind, at) VALUES (:id, :kind, :at)
        ON CONFLICT (subscription_id) DO UPDATE SET kind = excluded.kind, at = excluded.at""",
        {"id": subscription_id, "kind": kind, "at": micros(now)})
    await _go_on(transaction, subscription_id)


async def _go_on(transaction: Transaction, subscription_id: str) -> bool:
    """One step. Whether there may be more."""
    row = await transaction.fetch_one("SELECT * FROM moves WHERE subscription_id = :id FOR UPDATE", {"id": subscription_id})
    if row is None:
        return False
    parameters: Parameters = {"id": subscription_id, "at": row["at"], "limit": STEP}
    is_over = len(await transaction.fetch(_SQL[row["kind"]], parameters)) < STEP
    if is_over:
        await transaction.run("DELETE FROM moves WHERE subscription_id = :id", parameters)
    transaction.ring(*(("deliveries", "replays") if is_over else ("moves",)))
    return not is_over
