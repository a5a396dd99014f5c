"""What owners are to hear of, and never too often: how their subscriptions fare, and that credits run low.

Of each kind one is told per subscription and hour; what comes in between is not told later, since whoever was told looks. The
callback_urls of tasks are as many as tasks, so those on one host count as one. A success is told of only where a failure
was told of, or the subscription was disabled.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from relay.model import Attempt, Change, Event, EventType, Subscription
from relay.stores.sqlite.connection import Row
from relay.stores.sqlite.routing import Router, insert_deliveries, insert_events
from relay.stores.sqlite.row import json_text, micros, read_delivery, read_subscription
from relay.stores.sqlite.transaction import Transaction
from relay.view import credits_event, subscription_event

FAILURES_TOLD: Final = 4
"""In a row, of one delivery: its owner is told."""

_LOW_CREDITS: Final = 5.0  # as the provider counts: some dozens of pictures with those that tell
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Incident(Struct, frozen=True):
    """Something that may be told, and the attempt that brought it about."""

    kind: EventType
    attempt: Attempt
    now: datetime


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
        left = change.update.credits_left if change.update else None
        if left is None or left >= _LOW_CREDITS:
            return
        account = transaction.fetch_one("SELECT id FROM accounts WHERE name = 'default'", {})
        if account and _is_time(transaction, account["id"], EventType.CREDITS_LOW, provider, change.now, _DAY):
            self._record(transaction, [credits_event(self._new_id("evt"), account["id"], provider, left, change.now)])

    def _record(self, transaction: Transaction, events: Sequence[Event]) -> None:
        deliveries = [job.delivery for job in self._router.route(transaction, events, {})]
        insert_events(transaction, events)
        insert_deliveries(transaction, deliveries)

    def _event(self, transaction: Transaction, incident: Incident, row: Row) -> Event | None:
        [found] = transaction.fetch("SELECT * FROM subscriptions WHERE id = :id", {"id": row["subscription_id"]})
        subscription, kind, now = read_subscription(found), incident.kind, incident.now
        is_failure = kind is not EventType.SUBSCRIPTION_RECOVERED
        if subscription.deleted_at or (kind is EventType.DELIVERY_FAILING and not _just_so_often(transaction, incident)):
            return None
        is_told = _is_time(transaction, subscription.account_id, kind, _subject(subscription), now, _HOUR)
        if is_told or kind is not EventType.DELIVERY_FAILING:
            transaction.run(
                "UPDATE subscriptions SET troubled = :troubled WHERE id = :id", {"id": subscription.id, "troubled": is_failure})
        if not is_told:
            return None
        last_error = _in_words(incident.attempt) if is_failure else None
        return subscription_event(self._new_id("evt"), kind, subscription, read_delivery(row), last_error, now)


def _read_deliveries(transaction: Transaction, incidents: Sequence[Incident]) -> dict[str, Row]:
    rows = transaction.fetch(
        "SELECT * FROM deliveries WHERE id IN (SELECT value FROM json_each(:ids))",
        {"ids": json_text(list({incident.attempt.delivery_id for incident in incidents}))})
    return {row["id"]: row for row in rows}


def _just_so_often(transaction: Transaction, incident: Incident) -> bool:
    """Whether exactly so many failures stand at the end of the delivery's attempts."""
    rows = transaction.fetch(
        """SELECT error IS NULL AND status_code BETWEEN 200 AND 299 AS is_success FROM attempts WHERE delivery_id = :id
        ORDER BY seq DESC LIMIT :failures + 1""", {"id": incident.attempt.delivery_id, "failures": FAILURES_TOLD})
    outcomes = [bool(row["is_success"]) for row in rows]
    return not any(outcomes[:FAILURES_TOLD]) and all(outcomes[FAILURES_TOLD:])


def _is_time(transaction: Transaction, account_id: str, kind: EventType, subject: str, now: datetime, span: timedelta) -> bool:
    """Whether it was not told within `span`; if so, it is from now on."""
    rows = transaction.fetch(
        """INSERT INTO alarms (account_id, type, subject, told_at) VALUES (:account_id, :type, :subject, :now)
        ON CONFLICT (account_id, type, subject) DO UPDATE SET told_at = excluded.told_at WHERE told_at <= :before RETURNING subject""",
        {"account_id": account_id, "type": kind.value, "subject": subject, "now": micros(now), "before": micros(now - span)})
    return bool(rows)


def _subject(subscription: Subscription) -> str:
    return subscription.id if subscription.task_id is None else urlsplit(subscription.url).netloc


def _in_words(attempt: Attempt) -> str:
    return attempt.error or f"answered {attempt.status_code}"
