"""What became of deliveries that were sent: written down for all that wait at once, each table read once and written once, however
many attempts ended together.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.model import DeliveryStatus, EventType
from relay.ports.store import Settlement
from relay.stores.sqlite.alarm import FAILURES_TOLD, Alarms, Incident
from relay.stores.sqlite.connection import Parameters, Row
from relay.stores.sqlite.move import hold_pending
from relay.stores.sqlite.routing import Router
from relay.stores.sqlite.row import attempt_row, json_text, micros, micros_or_none
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer

_PUT_ASIDE = (DeliveryStatus.HELD, DeliveryStatus.CANCELLED)


class _Settled(Struct, frozen=True):
    """One call of `settle`."""

    settlements: Sequence[Settlement]
    now: datetime


class _Health(Struct):
    """A subscription inside the batch."""

    account_id: str
    is_active: bool
    can_be_disabled: bool
    failing_since: int | None
    failing_before: int | None
    disabled_reason: str | None = None
    is_troubled: bool = False
    incidents: list[Incident] = []


class Dispatch:
    """The end of the store's lease of deliveries."""

    def __init__(self, writer: Writer, router: Router, alarms: Alarms) -> None:
        self._writer = writer
        self._router = router
        self._alarms = alarms

    async def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:
        await self._writer.write(self._settle_all, _Settled(settlements, now))

    def _settle_all(self, transaction: Transaction, calls: Sequence[_Settled]) -> list[None]:
        each = [(settlement, call.now) for call in calls for settlement in call.settlements]
        deliveries, health = _read_settled(transaction, [settlement.attempt.delivery_id for settlement, _ in each])
        each = [(settlement, now) for settlement, now in each if settlement.attempt.delivery_id in deliveries]
        rows = [_settle(deliveries, health, settlement, now) for settlement, now in each]
        _insert_attempts(transaction, [settlement for settlement, _ in each])
        _update_settled(transaction, rows)
        _update_health(transaction, health)
        _update_slowness(transaction, deliveries, [settlement for settlement, _ in each])
        for subscription_id in [key for key, one in health.items() if one.disabled_reason]:
            hold_pending(transaction, subscription_id, calls[-1].now)
        for changed in [one for one in health.values() if one.disabled_reason or one.failing_since != one.failing_before]:
            self._router.forget(changed.account_id)
        if any(row["status"] == "pending" or deliveries[row["id"]]["ordered"] for row in rows):  # or the next one may go
            transaction.ring("deliveries")
        if any(deliveries[row["id"]]["replay_id"] for row in rows):
            transaction.ring("replays")
        self._alarms.tell(transaction, [incident for one in health.values() for incident in one.incidents])
        return [None] * len(calls)


def _read_settled(transaction: Transaction, ids: Sequence[str]) -> tuple[dict[str, Row], dict[str, _Health]]:
    rows = transaction.fetch(
        """SELECT deliveries.id, deliveries.status, deliveries.subscription_id, subscriptions.account_id,
        subscriptions.status AS subscription_status, subscriptions.task_id, subscriptions.failing_since, subscriptions.deleted_at,
        subscriptions.ordered, subscriptions.troubled, deliveries.replay_id
        FROM deliveries_shown AS deliveries JOIN subscriptions ON subscriptions.id = deliveries.subscription_id
        WHERE deliveries.id IN (SELECT value FROM json_each(:ids))""", {"ids": json_text(list(ids))})
    return {row["id"]: row for row in rows}, {row["subscription_id"]: _health(row) for row in rows}


def _health(row: Row) -> _Health:
    """A task's own subscription is never disabled: it dies with its one event."""
    is_active = row["subscription_status"] == "active"
    can_be_disabled = row["task_id"] is None and row["deleted_at"] is None and row["subscription_status"] != "disabled"
    return _Health(row["account_id"], is_active, can_be_disabled, row["failing_since"], row["failing_since"],
                   is_troubled=bool(row["troubled"]))


def _settle(deliveries: dict[str, Row], health: dict[str, _Health], settlement: Settlement, now: datetime) -> dict[str, Any]:
    """The delivery as it is after the attempt; its subscription's health is brought up to date on the way."""
    stood = deliveries[settlement.attempt.delivery_id]
    subscription = health[stood["subscription_id"]]
    status = _status(DeliveryStatus(stood["status"]), settlement, subscription)
    if settlement.status is DeliveryStatus.DELIVERED:
        subscription.failing_since = None
    elif subscription.failing_since is None:
        subscription.failing_since = micros(now)
    _note_incidents(subscription, settlement, now)
    if settlement.disable is not None and subscription.can_be_disabled:
        subscription.disabled_reason = settlement.disable.value
    is_over = status in (DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED)
    return {
        "id": settlement.attempt.delivery_id, "status": status.value, "completed_at": micros(now) if is_over else None,
        "next_attempt_at": micros_or_none(settlement.next_at or now) if status is DeliveryStatus.PENDING else None,
    }


def _note_incidents(subscription: _Health, settlement: Settlement, now: datetime) -> None:
    """What its owner may want to hear of."""
    attempt = settlement.attempt
    if settlement.status is DeliveryStatus.DELIVERED:
        if subscription.is_troubled:
            subscription.is_troubled = False
            subscription.incidents.append(Incident(EventType.SUBSCRIPTION_RECOVERED, attempt, now))
        return
    if attempt.number >= FAILURES_TOLD:
        subscription.incidents.append(Incident(EventType.DELIVERY_FAILING, attempt, now))
    if settlement.disable is not None and subscription.can_be_disabled and subscription.disabled_reason is None:
        subscription.is_troubled = True
        subscription.incidents.append(Incident(EventType.SUBSCRIPTION_DISABLED, attempt, now))


def _status(stood: DeliveryStatus, settlement: Settlement, subscription: _Health) -> DeliveryStatus:
    if stood in _PUT_ASIDE and settlement.status is not DeliveryStatus.DELIVERED:
        return stood
    if settlement.status is DeliveryStatus.PENDING and not subscription.is_active:
        return DeliveryStatus.HELD
    return settlement.status


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


def _update_health(transaction: Transaction, health: dict[str, _Health]) -> None:
    transaction.run_each(
        """UPDATE subscriptions SET failing_since = :failing_since, status = CASE WHEN :reason IS NULL THEN status ELSE 'disabled' END,
        disabled_reason = coalesce(:reason, disabled_reason) WHERE id = :id""",
        [{"id": key, "failing_since": one.failing_since, "reason": one.disabled_reason} for key, one in health.items()
         if one.disabled_reason or one.failing_since != one.failing_before])


def _update_slowness(transaction: Transaction, deliveries: dict[str, Row], settlements: Sequence[Settlement]) -> None:
    """Whoever routes does not ask for it, so nothing is forgotten."""
    after = {deliveries[settlement.attempt.delivery_id]["subscription_id"]: settlement.slowness
             for settlement in settlements if settlement.slowness is not None}
    transaction.run_each(
        "UPDATE subscriptions SET slowness = :slowness WHERE id = :id",
        [{"id": key, "slowness": slowness} for key, slowness in after.items()])
