"""What became of deliveries that were sent: written down for all that wait at once, each table read once and written once, however
many attempts ended together.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from relay.ports.store import Settlement
from relay.stores.row import attempt_row, json_text
from relay.stores.settling import Health, Settled, read_health, settle
from relay.stores.sqlite.alarm import Alarms
from relay.stores.sqlite.connection import Parameters, Row
from relay.stores.sqlite.move import hold_pending
from relay.stores.sqlite.routing import Router
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer


class Dispatch:
    """The end of the store's lease of deliveries."""

    def __init__(self, writer: Writer, router: Router, alarms: Alarms) -> None:
        self._writer = writer
        self._router = router
        self._alarms = alarms

    async def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:
        await self._writer.write(self._settle_all, Settled(settlements, now))

    def _settle_all(self, transaction: Transaction, calls: Sequence[Settled]) -> list[None]:
        each = [(settlement, call.now) for call in calls for settlement in call.settlements]
        deliveries, health = _read_settled(transaction, [settlement.attempt.delivery_id for settlement, _ in each])
        each = [(settlement, now) for settlement, now in each if settlement.attempt.delivery_id in deliveries]
        rows = [settle(deliveries, health, settlement, now) for settlement, now in each]
        _insert_attempts(transaction, [settlement for settlement, _ in each])
        _update_settled(transaction, rows)
        _update_health(transaction, health)
        _update_slowness(transaction, deliveries, [settlement for settlement, _ in each])
        for subscription_id in [key for key, one in health.items() if one.disabled_reason]:
            hold_pending(transaction, subscription_id, calls[-1].now)
        for changed in [one for one in health.values() if one.is_changed]:
            self._router.forget(changed.account_id)
        if any(row["status"] == "pending" or deliveries[row["id"]]["ordered"] for row in rows):  # or the next one may go
            transaction.ring("deliveries")
        if any(deliveries[row["id"]]["replay_id"] for row in rows):
            transaction.ring("replays")
        self._alarms.tell(transaction, [incident for one in health.values() for incident in one.incidents])
        return [None] * len(calls)


def _read_settled(transaction: Transaction, ids: Sequence[str]) -> tuple[dict[str, Row], dict[str, Health]]:
    rows = transaction.fetch(
        """SELECT deliveries.id, deliveries.status, deliveries.subscription_id, subscriptions.account_id,
        subscriptions.status AS subscription_status, subscriptions.task_id, subscriptions.failing_since, subscriptions.deleted_at,
        subscriptions.ordered, subscriptions.troubled, deliveries.replay_id
        FROM deliveries_shown AS deliveries JOIN subscriptions ON subscriptions.id = deliveries.subscription_id
        WHERE deliveries.id IN (SELECT value FROM json_each(:ids))""", {"ids": json_text(list(ids))})
    return {row["id"]: row for row in rows}, {row["subscription_id"]: read_health(row) for row in rows}


def _insert_attempts(transaction: Transaction, settlements: Sequence[Settlement]) -> None:
    transaction.run_rows(
        """INSERT INTO attempts (id, delivery_id, number, started_at, duration_ms, status_code, error, response_body)
        VALUES :rows""", [attempt_row(settlement.attempt) for settlement in settlements])


def _update_settled(transaction: Transaction, rows: Sequence[Parameters]) -> None:
    """Of several outcomes of one delivery the last one stands; all are counted."""
    made = Counter(row["id"] for row in rows)
    transaction.run_rows(
        """WITH new (id, status, next_attempt_at, completed_at, made) AS (VALUES :rows)
        UPDATE deliveries SET status = new.status, next_attempt_at = new.next_attempt_at, attempts = attempts + new.made, manual = 0,
        leased = 0, completed_at = coalesce(new.completed_at, deliveries.completed_at) FROM new WHERE deliveries.id = new.id""",
        [{**row, "made": made[row["id"]]} for row in {row["id"]: row for row in rows}.values()])


def _update_health(transaction: Transaction, health: dict[str, Health]) -> None:
    transaction.run_each(
        """UPDATE subscriptions SET failing_since = :failing_since, status = CASE WHEN :reason IS NULL THEN status ELSE 'disabled' END,
        disabled_reason = coalesce(:reason, disabled_reason) WHERE id = :id""",
        [{"id": key, "failing_since": one.failing_since, "reason": one.disabled_reason} for key, one in health.items()
         if one.is_changed])


def _update_slowness(transaction: Transaction, deliveries: dict[str, Row], settlements: Sequence[Settlement]) -> None:
    """Whoever routes does not ask for it, so nothing is forgotten."""
    after = {deliveries[settlement.attempt.delivery_id]["subscription_id"]: settlement.slowness
             for settlement in settlements if settlement.slowness is not None}
    transaction.run_each(
        "UPDATE subscriptions SET slowness = :slowness WHERE id = :id",
        [{"id": key, "slowness": slowness} for key, slowness in after.items()])
