"""What became of deliveries that were sent: written down for all that wait at once, each table read once and written once, however
many attempts ended together.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from relay.ports.store import Settlement
from relay.stores.row import attempt_row, json_text
from relay.stores.settling import Health, Settled, read_health, settle
from relay.stores.sqlite.alarm import Alarms
from relay.stores.sqlite.connection import Row
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
        _update_settled(transaction, deliveries, rows)
        _update_health(transaction, health)
        _update_slowness(transaction, deliveries, [settlement for settlement, _ in each])
        for subscription_id in [key for key, one in health.items() if one.disabled_reason]:
            hold_pending(transaction, subscription_id, calls[-1].now)
        for changed in [one for one in health.values() if one.is_changed]:
            self._router.forget(changed.account_id)
        if any(row["status"] == "pending" for row in rows) or any(one.is_ordered for one in health.values()):  # or the next one may go
            transaction.ring("deliveries")
        if any(deliveries[row["id"]]["replay_id"] for row in rows):
            transaction.ring("replays")
        self._alarms.tell(transaction, [incident for one in health.values() for incident in one.incidents])
        return [None] * len(calls)


def _read_settled(transaction: Transaction, ids: Sequence[str]) -> tuple[dict[str, Row], dict[str, Health]]:
    deliveries = transaction.fetch(
        """SELECT shown.seq, shown.id, shown.status, shown.subscription_id, shown.replay_id
        FROM json_each(:ids) AS given CROSS JOIN deliveries_shown AS shown ON shown.id = given.value""", {"ids": json_text(list(ids))})
    subscriptions = transaction.fetch(
        """SELECT id, account_id, status AS subscription_status, task_id, failing_since, deleted_at, ordered, troubled FROM subscriptions
        WHERE id IN (SELECT value FROM json_each(:ids))""", {"ids": json_text(list({row["subscription_id"] for row in deliveries}))})
    return {row["id"]: row for row in deliveries}, {row["id"]: read_health(row) for row in subscriptions}


def _insert_attempts(transaction: Transaction, settlements: Sequence[Settlement]) -> None:
    transaction.run_rows(
        """INSERT INTO attempts (id, delivery_id, number, started_at, duration_ms, status_code, error, response_body)
        VALUES :rows""", [attempt_row(settlement.attempt) for settlement in settlements])


def _update_settled(transaction: Transaction, deliveries: dict[str, Row], rows: Sequence[dict[str, Any]]) -> None:
    """Of several outcomes of one delivery the last one stands; all are counted."""
    last: dict[int, dict[str, Any]] = {}
    for row in rows:
        seq = deliveries[row["id"]]["seq"]
        last[seq] = {**row, "seq": seq, "made": last[seq]["made"] + 1 if seq in last else 1}
    transaction.run_rows(
        """WITH new (seq, status, next_attempt_at, completed_at, made) AS (VALUES :rows)
        UPDATE deliveries SET status = new.status, next_attempt_at = new.next_attempt_at, attempts = attempts + new.made, manual = 0,
        leased = 0, completed_at = coalesce(new.completed_at, deliveries.completed_at) FROM new WHERE deliveries.seq = new.seq""",
        list(last.values()))


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
