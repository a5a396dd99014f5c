"""What owners are told of, and never too often (see relay.stores.incident): how their subscriptions fare, and that credits run low."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from relay.model import Change, Event, EventType
from relay.stores.incident import DAY, FAILURES_TOLD, HOUR, Incident, credits_low, is_fourth_failure, subject_of
from relay.stores.row import json_text, micros, read_delivery, read_subscription
from relay.stores.sqlite.connection import Row
from relay.stores.sqlite.routing import Router, insert_deliveries, insert_events
from relay.stores.sqlite.transaction import Transaction
from relay.view import credits_event, subscription_event


class Alarms:
    """To be used inside the writer's transactions only."""

    def __init__(self, router: Router, new_id: Callable[[str], str]) -> None:
        self._router = router
        self._new_id = new_id

    def tell(self, transaction: Transaction, incidents: Sequence[Incident]) -> None:
        """Record what is worth telling, once the attempts and what follows from them are written."""
        if incidents:
            rows = _read_deliveries(transaction, incidents)
            self._record(transaction, [event for incident in incidents if (
                event := self._event(transaction, incident, rows[incident.attempt.delivery_id]))])

    def watch_credits(self, transaction: Transaction, provider: str, change: Change) -> None:
        """Tell the operator if an update says that few are left."""
        left = credits_low(change)
        if left is None:
            return
        account = transaction.fetch_one("SELECT id FROM accounts WHERE name = 'default'", {})
        if account and _is_time(transaction, account["id"], EventType.CREDITS_LOW, provider, change.now, DAY):
            self._record(transaction, [credits_event(self._new_id("evt"), account["id"], provider, left, change.now)])

    def _record(self, transaction: Transaction, events: Sequence[Event]) -> None:
        deliveries = [job.delivery for job in self._router.route(transaction, events, {})]
        insert_events(transaction, events)
        insert_deliveries(transaction, deliveries)

    def _event(self, transaction: Transaction, incident: Incident, row: Row) -> Event | None:
        [found] = transaction.fetch("SELECT * FROM subscriptions WHERE id = :id", {"id": row["subscription_id"]})
        subscription, kind, now = read_subscription(found), incident.kind, incident.now
        if subscription.deleted_at or (kind is EventType.DELIVERY_FAILING and not _just_so_often(transaction, incident)):
            return None
        is_told = _is_time(transaction, subscription.account_id, kind, subject_of(subscription), now, HOUR)
        if is_told or kind is not EventType.DELIVERY_FAILING:
            transaction.run(
                "UPDATE subscriptions SET troubled = :troubled WHERE id = :id", {"id": subscription.id, "troubled": incident.is_failure})
        if not is_told:
            return None
        return subscription_event(self._new_id("evt"), kind, subscription, read_delivery(row), incident.last_error, now)


def _read_deliveries(transaction: Transaction, incidents: Sequence[Incident]) -> dict[str, Row]:
    rows = transaction.fetch(
        "SELECT * FROM deliveries WHERE id IN (SELECT value FROM json_each(:ids))",
        {"ids": json_text(list({incident.attempt.delivery_id for incident in incidents}))})
    return {row["id"]: row for row in rows}


def _just_so_often(transaction: Transaction, incident: Incident) -> bool:
    rows = transaction.fetch(
        """SELECT error IS NULL AND status_code BETWEEN 200 AND 299 AS is_success FROM attempts WHERE delivery_id = :id
        ORDER BY seq DESC LIMIT :failures + 1""", {"id": incident.attempt.delivery_id, "failures": FAILURES_TOLD})
    return is_fourth_failure([bool(row["is_success"]) for row in rows])


def _is_time(transaction: Transaction, account_id: str, kind: EventType, subject: str, now: datetime, span: timedelta) -> bool:
    """Whether it was not told within `span`; if so, it is from now on."""
    rows = transaction.fetch(
        """INSERT INTO alarms (account_id, type, subject, told_at) VALUES (:account_id, :type, :subject, :now)
        ON CONFLICT (account_id, type, subject) DO UPDATE SET told_at = excluded.told_at WHERE told_at <= :before RETURNING subject""",
        {"account_id": account_id, "type": kind.value, "subject": subject, "now": micros(now), "before": micros(now - span)})
    return bool(rows)
