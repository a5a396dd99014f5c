"""From events to deliveries: who hears of them.

The standing subscriptions of an account are kept in memory, sorted by event type, since an account may have thousands and
every change of a task asks for them. That is safe because this process alone writes to the file, and every change of a
subscription goes through the writer, which calls `forget` in the same transaction. A task's own subscription is read each
time: there are as many of those as tasks.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta

from relay.model import Delivery, DeliveryStatus, Event, EventType, Subscription, SubscriptionStatus
from relay.ports.store import Job
from relay.stores.matching import accepts, matches, wants
from relay.stores.row import delivery_row, event_row, json_text, read_subscription
from relay.stores.sqlite.transaction import Transaction

_ByType = dict[EventType, list[Subscription]]
OwnSubscriptions = dict[str | None, list[Subscription]]
"""By the id of their task."""


class Router:
    """To be used inside the writer's transactions only."""

    def __init__(self, new_id: Callable[[str], str], first_wait: float) -> None:
        self._new_id = new_id
        self._first_wait = timedelta(seconds=first_wait)
        self._standing: dict[str, _ByType] = {}
        self._changes: defaultdict[str, int] = defaultdict(int)

    def forget(self, account_id: str) -> None:
        """Something about this account's subscriptions or their deliveries is changed by the transaction."""
        self._changes[account_id] += 1
        self._standing.pop(account_id, None)

    def forget_all(self) -> None:
        """What was learnt in a transaction is not true."""
        self._standing.clear()

    def changes(self, account_id: str) -> int:
        """How often `forget` was called for it. From any thread."""
        return self._changes.get(account_id, 0)

    def route(self, transaction: Transaction, events: Sequence[Event], own: OwnSubscriptions) -> list[Job]:
        """Deliveries for every subscription that matches; `own`: those of the tasks that the events speak of. Nothing is
        written yet."""
        routed: list[Job] = []
        for event in events:
            standing = (self._standing_of(transaction, event.account_id))[event.type]
            hearing = [one for one in standing if accepts(one, event)]
            hearing += [one for one in own.get(event.task_id, ()) if matches(one, event)]
            seen = self.changes(event.account_id)
            routed += [Job(delivery=self.delivery(event, one), subscription=one, event=event, seen=seen) for one in hearing]
        return routed

    def delivery(self, event: Event, subscription: Subscription) -> Delivery:
        """A new delivery: due by the first entry of the schedule, or held while the subscription is not active."""
        is_active = subscription.status is SubscriptionStatus.ACTIVE
        first_wait = timedelta(seconds=subscription.retry_schedule[0]) if subscription.retry_schedule else self._first_wait
        return Delivery(
            id=self._new_id("dlv"), account_id=event.account_id, event_id=event.id, event_type=event.type,
            subscription_id=subscription.id, task_id=event.task_id,
            status=DeliveryStatus.PENDING if is_active else DeliveryStatus.HELD,
            next_attempt_at=event.created_at + first_wait if is_active else None, created_at=event.created_at,
        )

    def _standing_of(self, transaction: Transaction, account_id: str) -> _ByType:
        known = self._standing.get(account_id)
        if known is None:
            rows = transaction.fetch(
                """SELECT * FROM subscriptions WHERE account_id = :account_id AND task_id IS NULL AND deleted_at IS NULL
                ORDER BY id""", {"account_id": account_id})
            known = self._standing[account_id] = _by_type([read_subscription(row) for row in rows])
        return known


def _by_type(subscriptions: Sequence[Subscription]) -> _ByType:
    return {kind: [one for one in subscriptions if wants(one, kind)] for kind in EventType}


def own_subscriptions(transaction: Transaction, task_ids: Iterable[str]) -> OwnSubscriptions:
    """What the tasks with these ids were given as their `callback_url`."""
    rows = transaction.fetch(
        "SELECT * FROM subscriptions WHERE task_id IN (SELECT value FROM json_each(:task_ids)) AND deleted_at IS NULL",
        {"task_ids": json_text(list(task_ids))})
    own: OwnSubscriptions = defaultdict(list)
    for row in rows:
        own[row["task_id"]].append(read_subscription(row))
    return own


def insert_events(transaction: Transaction, events: Sequence[Event]) -> None:
    transaction.run_rows(
        """INSERT INTO events (id, account_id, type, created_at, body, task_id, provider, metadata, subscription_id, about_id)
        VALUES :rows""", [event_row(event) for event in events])
    transaction.ring(*{f"events:{event.account_id}" for event in events})


def insert_deliveries(transaction: Transaction, deliveries: Sequence[Delivery], *, held: Collection[str] = ()) -> None:
    """`held`: the ids of those that somebody holds already, past the claim."""
    transaction.run_rows(
        """INSERT INTO deliveries (id, account_id, event_id, event_type, subscription_id, task_id, status, attempts, manual,
        next_attempt_at, created_at, completed_at, replay_id, leased)
        VALUES :rows""", [{**delivery_row(delivery), "leased": delivery.id in held} for delivery in deliveries])
    if any(delivery.status is DeliveryStatus.PENDING and delivery.id not in held for delivery in deliveries):
        transaction.ring("deliveries")
