"""Subscriptions, and what their changes of status make of the deliveries that wait for them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from relay.errors import Conflict
from relay.model import Subscription, SubscriptionStatus
from relay.ports.page import Page
from relay.ports.store import SubscriptionFilter
from relay.stores.page import FIRST_PAGE, page
from relay.stores.row import micros, read_subscription, subscription_row
from relay.stores.sqlite.connection import Readers
from relay.stores.sqlite.move import Moves, cancel_waiting, hold_pending, is_being_held, send_held
from relay.stores.sqlite.routing import Router
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Single, Writer

_Result = TypeVar("_Result")


class _Unheld(Struct, frozen=True):
    """Nothing was changed: deliveries of this subscription are still to be held."""

    subscription_id: str


class Subscriptions:
    """The subscriptions' part of the store."""

    def __init__(self, readers: Readers, writer: Writer, router: Router, moves: Moves) -> None:
        self._readers = readers
        self._writer = writer
        self._router = router
        self._moves = moves

    async def add_subscription(self, subscription: Subscription, *, identity: str, now: datetime) -> tuple[Subscription, bool]:
        def add(transaction: Transaction) -> tuple[Subscription, bool] | _Unheld:
            known = _same(transaction, subscription.account_id, identity)
            self._router.forget(subscription.account_id)
            if known is None:
                insert_subscriptions(transaction, [(subscription, identity)])
                return subscription, True
            if known.status is SubscriptionStatus.ACTIVE:
                return known, False
            if is_being_held(transaction, known.id):
                return _Unheld(known.id)
            return _resume(transaction, known, now, keep_held=False), False

        return await self._once_held(add)

    async def subscription(self, account_id: str, subscription_id: str) -> Subscription | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM subscriptions WHERE id = :id AND account_id = :account_id AND deleted_at IS NULL",
            {"id": subscription_id, "account_id": account_id})
        return None if row is None else read_subscription(row)

    async def subscriptions(self, account_id: str, which: SubscriptionFilter, *, limit: int, cursor: str | None = None) -> Page:
        parameters = {"account_id": account_id, "task_id": which.task_id, "url": which.url, "cursor": cursor or FIRST_PAGE,
                      "limit": limit + 1}
        if which.task_id is not None:
            rows = await self._readers.fetch(
                """SELECT * FROM subscriptions WHERE task_id = :task_id AND account_id = :account_id AND deleted_at IS NULL
                AND id < :cursor AND (:url IS NULL OR url = :url) ORDER BY id DESC LIMIT :limit""", parameters)
        else:
            rows = await self._readers.fetch(
                """SELECT * FROM subscriptions WHERE account_id = :account_id AND task_id IS NULL AND deleted_at IS NULL
                AND id < :cursor AND (:url IS NULL OR url = :url) ORDER BY id DESC LIMIT :limit""", parameters)
        return page(rows, limit, read_subscription)

    async def change_subscription(self, account_id: str, subscription_id: str, change: Callable[[Subscription], Subscription], *,
                                  identity: Callable[[Subscription], str]) -> Subscription | None:
        def write(transaction: Transaction) -> Subscription | None:
            before = find_subscription(transaction, account_id, subscription_id)
            if before is None:
                return None
            changed = change(before)
            same = _same(transaction, account_id, identity(changed))
            if same is not None and same.id != subscription_id:
                raise Conflict(f"{same.id} is the same subscription already")
            self._router.forget(account_id)
            transaction.run(
                """UPDATE subscriptions SET url = :url, events = :events, providers = :providers, metadata = :metadata,
                format = :format, description = :description, sealed_headers = :sealed_headers,
                rate_per_second = :rate_per_second, max_concurrent = :max_concurrent, ordered = :ordered,
                retry_schedule = :retry_schedule, signatures = :signatures, template = :template, verify = :verify,
                allow_cidrs = :allow_cidrs, sealed_secret = :sealed_secret, previous_sealed_secret = :previous_sealed_secret,
                public_key = :public_key, sealed_private_key = :sealed_private_key,
                previous_sealed_private_key = :previous_sealed_private_key,
                previous_secret_until = :previous_secret_until, sealed_callback_secret = :sealed_callback_secret,
                identity = CASE WHEN task_id IS NULL THEN :identity END
                WHERE id = :id""", {**subscription_row(changed), "identity": identity(changed)})
            return changed

        return await self._writer.write_alone(write)

    async def set_subscription_status(self, account_id: str, subscription_id: str, status: SubscriptionStatus, *,
                                      now: datetime, keep_held: bool = False) -> Subscription | None:
        def change(transaction: Transaction) -> Subscription | _Unheld | None:
            subscription = find_subscription(transaction, account_id, subscription_id)
            if subscription is None:
                return None
            if status is SubscriptionStatus.ACTIVE and is_being_held(transaction, subscription_id):
                return _Unheld(subscription_id)
            self._router.forget(account_id)
            if status is SubscriptionStatus.ACTIVE:
                return _resume(transaction, subscription, now, keep_held=keep_held)
            return _pause(transaction, subscription, now)

        return await self._once_held(change)

    async def _once_held(self, change: Single[_Result | _Unheld]) -> _Result:
        while isinstance(outcome := await self._writer.write_long(change), _Unheld):
            await self._moves.finish(outcome.subscription_id)
        return outcome

    async def remove_subscription(self, account_id: str, subscription_id: str, *, now: datetime) -> bool:
        def remove(transaction: Transaction) -> bool:
            parameters = {"id": subscription_id, "account_id": account_id, "now": micros(now)}
            rows = transaction.fetch(
                """UPDATE subscriptions SET deleted_at = :now WHERE id = :id AND account_id = :account_id AND deleted_at IS NULL
                RETURNING id""", parameters)
            if rows:
                self._router.forget(account_id)
                cancel_waiting(transaction, subscription_id, now)
                transaction.run(
                    "UPDATE replays SET status = 'cancelled', completed_at = :now WHERE subscription_id = :id AND status = 'running'",
                    parameters)
                return True
            return bool(transaction.fetch(
                "SELECT 1 FROM subscriptions WHERE id = :id AND account_id = :account_id", parameters))

        return await self._writer.write_long(remove)


def find_subscription(transaction: Transaction, account_id: str, subscription_id: str) -> Subscription | None:
    """One that is not deleted."""
    row = transaction.fetch_one(
        "SELECT * FROM subscriptions WHERE id = :id AND account_id = :account_id AND deleted_at IS NULL",
        {"id": subscription_id, "account_id": account_id})
    return None if row is None else read_subscription(row)


def insert_subscriptions(transaction: Transaction, given: Sequence[tuple[Subscription, str | None]]) -> None:
    """Each with its identity; a task's own has none."""
    rows: list[dict[str, Any]] = [{**subscription_row(one), "identity": identity} for one, identity in given]
    transaction.run_rows(
        """INSERT INTO subscriptions (id, account_id, url, events, providers, metadata, format, description, sealed_headers,
        rate_per_second, max_concurrent, ordered, retry_schedule, signatures, template, verify, allow_cidrs, sealed_secret,
        previous_sealed_secret, public_key, sealed_private_key, previous_sealed_private_key, previous_secret_until,
        sealed_callback_secret, task_id, status, disabled_reason, failing_since, slowness, created_at, deleted_at, identity)
        VALUES :rows""", rows)


def _same(transaction: Transaction, account_id: str, identity: str) -> Subscription | None:
    row = transaction.fetch_one(
        "SELECT * FROM subscriptions WHERE account_id = :account_id AND identity = :identity AND deleted_at IS NULL",
        {"account_id": account_id, "identity": identity})
    return None if row is None else read_subscription(row)


def _pause(transaction: Transaction, subscription: Subscription, now: datetime) -> Subscription:
    transaction.run(
        "UPDATE subscriptions SET status = 'paused', disabled_reason = NULL WHERE id = :id", {"id": subscription.id})
    hold_pending(transaction, subscription.id, now)
    return msgspec.structs.replace(subscription, status=SubscriptionStatus.PAUSED, disabled_reason=None)


def _resume(transaction: Transaction, subscription: Subscription, now: datetime, *, keep_held: bool) -> Subscription:
    transaction.run(
        "UPDATE subscriptions SET status = 'active', disabled_reason = NULL, failing_since = NULL WHERE id = :id", {"id": subscription.id})
    if not keep_held:
        send_held(transaction, subscription.id, now)
    transaction.ring("deliveries", "replays")
    return msgspec.structs.replace(subscription, status=SubscriptionStatus.ACTIVE, disabled_reason=None, failing_since=None)
