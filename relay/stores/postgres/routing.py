"""From events to deliveries: who hears of them.

The standing subscriptions of an account are kept in memory, sorted by event type, since an account may have thousands and every change
of a task asks for them. Any process may change them; whoever does raises the account's number of changes in the same transaction. What
is kept counts as true only as long as that number, read by every transaction that routes, is the same. A task's own subscription is
read each time: there are as many of those as tasks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from relay.model import Delivery, DeliveryStatus, Event, EventType, Subscription, SubscriptionStatus
from relay.ports.store import Job
from relay.stores.matching import accepts, matches, wants
from relay.stores.postgres.transaction import Transaction
from relay.stores.row import delivery_row, event_row, read_subscription

_FRESH_SECONDS: Final = 0.5
_ByType = dict[EventType, list[Subscription]]
OwnSubscriptions = dict[str | None, list[Subscription]]
"""By the id of their task."""


class _Seen(NamedTuple):
    """How many changes of an account there were, when that was read by the loop's clock."""

    changes: int
    at: float


class Router:
    """To be used inside the writer's transactions, but for what is remembered of changes."""

    def __init__(self, new_id: Callable[[str], str], first_wait: float) -> None:
        self._new_id = new_id
        self._first_wait = timedelta(seconds=first_wait)
        self._standing: dict[str, tuple[int, _ByType]] = {}
        self._seen: dict[str, _Seen] = {}

    async def forget(self, transaction: Transaction, account_id: str) -> None:
        """Something about this account's subscriptions or their deliveries is changed by the transaction, which holds its lock."""
        row = await transaction.fetch_one(
            "UPDATE accounts SET changes = changes + 1 WHERE id = :id RETURNING changes", {"id": account_id})
        if row is not None:
            changes: int = row["changes"]
            transaction.afterwards(lambda: self.saw(account_id, changes))

    def forget_all(self) -> None:
        """What was learnt in a transaction is not true."""
        self._standing.clear()

    def saw(self, account_id: str, changes: int) -> None:
        """Somebody has read just now how many there were."""
        before = self._seen.get(account_id)
        if before is None or before.changes <= changes:
            self._seen[account_id] = _Seen(changes, asyncio.get_running_loop().time())

    def is_current(self, job: Job) -> bool:
        """Whether nothing had changed half a second ago: another process may have changed something since, but not long since."""
        seen = self._seen.get(job.delivery.account_id)
        return seen is not None and seen.changes == job.seen and asyncio.get_running_loop().time() - seen.at < _FRESH_SECONDS

    async def route(self, transaction: Transaction, events: Sequence[Event], own: OwnSubscriptions,
                    changes: Mapping[str, int] | None = None) -> list[Job]:
        """Deliveries for every subscription that matches; `own`: those of the tasks that the events speak of. `changes`: how many there
        were of each account, if that was read already. Nothing is written yet."""
        known = changes if changes is not None else await self._read_changes(transaction, {event.account_id for event in events})
        routed: list[Job] = []
        for event in events:
            seen = known[event.account_id]
            standing = (await self._standing_of(transaction, event.account_id, seen))[event.type]
            hearing = [one for one in standing if accepts(one, event)]
            hearing += [one for one in own.get(event.task_id, ()) if matches(one, event)]
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

    async def _read_changes(self, transaction: Transaction, account_ids: Collection[str]) -> dict[str, int]:
        if not account_ids:
            return {}
        rows = await transaction.fetch(
            "SELECT id, changes FROM accounts WHERE id = ANY(CAST(:ids AS text[]))", {"ids": list(account_ids)})
        for row in rows:
            self.saw(row["id"], row["changes"])
        return {row["id"]: row["changes"] for row in rows}

    async def _standing_of(self, transaction: Transaction, account_id: str, changes: int) -> _ByType:
        known = self._standing.get(account_id)
        if known is not None and known[0] == changes:
            return known[1]
        rows = await transaction.fetch(
            """SELECT * FROM subscriptions WHERE account_id = :account_id AND task_id IS NULL AND deleted_at IS NULL
            ORDER BY id""", {"account_id": account_id})
        by_type = _by_type([read_subscription(row) for row in rows])
        self._standing[account_id] = changes, by_type
        return by_type


def _by_type(subscriptions: Sequence[Subscription]) -> _ByType:
    return {kind: [one for one in subscriptions if wants(one, kind)] for kind in EventType}


async def own_subscriptions(transaction: Transaction, task_ids: Iterable[str]) -> OwnSubscriptions:
    """What the tasks with these ids were given as their `callback_url`."""
    rows = await transaction.fetch(
        "SELECT * FROM subscriptions WHERE task_id = ANY(CAST(:task_ids AS text[])) AND deleted_at IS NULL", {"task_ids": list(task_ids)})
    own: OwnSubscriptions = defaultdict(list)
    for row in rows:
        own[row["task_id"]].append(read_subscription(row))
    return own


async def insert_events(transaction: Transaction, events: Sequence[Event]) -> None:
    """The locks of their accounts are held already."""
    await transaction.run_rows(
        """INSERT INTO events (id, account_id, type, created_at, body, task_id, provider, metadata, subscription_id, about_id)
        SELECT * FROM unnest(CAST(:id AS text[]), CAST(:account_id AS text[]), CAST(:type AS text[]), CAST(:created_at AS bigint[]),
            CAST(:body AS bytea[]), CAST(:task_id AS text[]), CAST(:provider AS text[]), CAST(:metadata AS text[]),
            CAST(:subscription_id AS text[]), CAST(:about_id AS text[]))""", [event_row(event) for event in events])
    ring_events(transaction, events)


def ring_events(transaction: Transaction, events: Sequence[Event]) -> None:
    """Whoever reads their accounts' events is to look again."""
    transaction.ring(*(f"events:{event.account_id}" for event in events))


async def insert_deliveries(transaction: Transaction, deliveries: Sequence[Delivery]) -> None:
    """None of which anybody holds."""
    await transaction.run_rows(
        """INSERT INTO deliveries (id, account_id, event_id, event_type, subscription_id, task_id, status, attempts, manual,
        next_attempt_at, created_at, completed_at, replay_id)
        SELECT * FROM unnest(CAST(:id AS text[]), CAST(:account_id AS text[]), CAST(:event_id AS text[]), CAST(:event_type AS text[]),
            CAST(:subscription_id AS text[]), CAST(:task_id AS text[]), CAST(:status AS text[]), CAST(:attempts AS bigint[]),
            CAST(:manual AS boolean[]), CAST(:next_attempt_at AS bigint[]), CAST(:created_at AS bigint[]),
            CAST(:completed_at AS bigint[]), CAST(:replay_id AS text[]))""", [delivery_row(delivery) for delivery in deliveries])
    ring_deliveries(transaction, deliveries)


def ring_deliveries(transaction: Transaction, deliveries: Sequence[Delivery]) -> None:
    """If any of them is to be claimed."""
    if any(delivery.status is DeliveryStatus.PENDING for delivery in deliveries):
        transaction.ring("deliveries")
