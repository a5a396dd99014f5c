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
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.lock import lock_accounts
from relay.stores.postgres.move import Moves, cancel_waiting, hold_pending, is_being_held, send_held
from relay.stores.postgres.routing import Router
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Single, Writer
from relay.stores.row import micros, read_subscription, subscription_row

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
        async def add(transaction: Transaction) -> tuple[Subscription, bool] | _Unheld:
            await lock_accounts(transaction, [subscription.account_id])
            known = await _same(transaction, subscription.account_id, identity)
            await self._router.forget(transaction, subscription.account_id)
            if known is None:
                await insert_subscriptions(transaction, [(subscription, identity)])
                return subscription, True
            if known.status is SubscriptionStatus.ACTIVE:
                return known, False
            if await is_being_held(transaction, known.id):
                return _Unheld(known.id)
            return await _resume(transaction, known, now, keep_held=False), False

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
                AND id < :cursor AND (CAST(:url AS text) IS NULL OR url = :url) ORDER BY id DESC LIMIT :limit""", parameters)
        else:
            rows = await self._readers.fetch(
                """SELECT * FROM subscriptions WHERE account_id = :account_id AND task_id IS NULL AND deleted_at IS NULL
                AND id < :cursor AND (CAST(:url AS text) IS NULL OR url = :url) ORDER BY id DESC LIMIT :limit""", parameters)
        return page(rows, limit, read_subscription)

    async def change_subscription(self, account_id: str, subscription_id: str, change: Callable[[Subscription], Subscription], *,
                                  identity: Callable[[Subscription], str]) -> Subscription | None:
        async def write(transaction: Transaction) -> Subscription | None:
            await lock_accounts(transaction, [account_id])
            before = await find_subscription(transaction, account_id, subscription_id)
            if before is None:
                return None
            changed = change(before)
            same = await _same(transaction, account_id, identity(changed))
            if same is not None and same.id != subscription_id:
                raise Conflict(f"{same.id} is the same subscription already")
            await self._router.forget(transaction, account_id)
            await transaction.run(
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
        async def change(transaction: Transaction) -> Subscription | _Unheld | None:
            await lock_accounts(transaction, [account_id])
            subscription = await find_subscription(transaction, account_id, subscription_id)
            if subscription is None:
                return None
            if status is SubscriptionStatus.ACTIVE and await is_being_held(transaction, subscription_id):
                return _Unheld(subscription_id)
            await self._router.forget(transaction, account_id)
            if status is SubscriptionStatus.ACTIVE:
                return await _resume(transaction, subscription, now, keep_held=keep_held)
            return await _pause(transaction, subscription, now)

        return await self._once_held(change)

    async def _once_held(self, change: Single[_Result | _Unheld]) -> _Result:
        while isinstance(outcome := await self._writer.write_long(change), _Unheld):
            await self._moves.finish(outcome.subscription_id)
        return outcome

    async def remove_subscription(self, account_id: str, subscription_id: str, *, now: datetime) -> bool:
        async def remove(transaction: Transaction) -> bool:
            await lock_accounts(transaction, [account_id])
            parameters = {"id": subscription_id, "account_id": account_id, "now": micros(now)}
            rows = await transaction.fetch(
                """UPDATE subscriptions SET deleted_at = :now WHERE id = :id AND account_id = :account_id AND deleted_at IS NULL
                RETURNING id""", parameters)
            if rows:
                await self._router.forget(transaction, account_id)
                await cancel_waiting(transaction, subscription_id, now)
                await transaction.run(
                    "UPDATE replays SET status = 'cancelled', completed_at = :now WHERE subscription_id = :id AND status = 'running'",
                    parameters)
                return True
            return bool(await transaction.fetch(
                "SELECT 1 FROM subscriptions WHERE id = :id AND account_id = :account_id", parameters))

        return await self._writer.write_long(remove)


async def find_subscription(transaction: Transaction, account_id: str, subscription_id: str) -> Subscription | None:
    """One that is not deleted."""
    row = await transaction.fetch_one(
        "SELECT * FROM subscriptions WHERE id = :id AND account_id = :account_id AND deleted_at IS NULL",
        {"id": subscription_id, "account_id": account_id})
    return None if row is None else read_subscription(row)


async def insert_subscriptions(transaction: Transaction, given: Sequence[tuple[Subscription, str | None]]) -> None:
    """Each with its identity; a task's own has none."""
    rows: list[dict[str, Any]] = [{**subscription_row(one), "identity": identity} for one, identity in given]
    await transaction.run_rows(
        """INSERT INTO subscriptions (id, account_id, url, events, providers, metadata, format, description, sealed_headers,
        rate_per_second, max_concurrent, ordered, retry_schedule, signatures, template, verify, allow_cidrs, sealed_secret,
        previous_sealed_secret, public_key, sealed_private_key, previous_sealed_private_key, previous_secret_until,
        sealed_callback_secret, task_id, status, disabled_reason, failing_since, slowness, created_at, deleted_at, identity)
        SELECT * FROM unnest(CAST(:id AS text[]), CAST(:account_id AS text[]), CAST(:url AS text[]), CAST(:events AS text[]),
            CAST(:providers AS text[]), CAST(:metadata AS text[]), CAST(:format AS text[]), CAST(:description AS text[]),
            CAST(:sealed_headers AS text[]), CAST(:rate_per_second AS double precision[]), CAST(:max_concurrent AS bigint[]),
            CAST(:ordered AS boolean[]), CAST(:retry_schedule AS text[]), CAST(:signatures AS text[]), CAST(:template AS text[]),
            CAST(:verify AS text[]), CAST(:allow_cidrs AS text[]), CAST(:sealed_secret AS text[]),
            CAST(:previous_sealed_secret AS text[]), CAST(:public_key AS text[]), CAST(:sealed_private_key AS text[]),
            CAST(:previous_sealed_private_key AS text[]), CAST(:previous_secret_until AS bigint[]),
            CAST(:sealed_callback_secret AS text[]), CAST(:task_id AS text[]), CAST(:status AS text[]),
            CAST(:disabled_reason AS text[]), CAST(:failing_since AS bigint[]), CAST(:slowness AS bigint[]),
            CAST(:created_at AS bigint[]), CAST(:deleted_at AS bigint[]), CAST(:identity AS text[]))""", rows)


async def _same(transaction: Transaction, account_id: str, identity: str) -> Subscription | None:
    row = await transaction.fetch_one(
        "SELECT * FROM subscriptions WHERE account_id = :account_id AND identity = :identity AND deleted_at IS NULL",
        {"account_id": account_id, "identity": identity})
    return None if row is None else read_subscription(row)


async def _pause(transaction: Transaction, subscription: Subscription, now: datetime) -> Subscription:
    await transaction.run(
        "UPDATE subscriptions SET status = 'paused', disabled_reason = NULL WHERE id = :id", {"id": subscription.id})
    await hold_pending(transaction, subscription.id, now)
    return msgspec.structs.replace(subscription, status=SubscriptionStatus.PAUSED, disabled_reason=None)


async def _resume(transaction: Transaction, subscription: Subscription, now: datetime, *, keep_held: bool) -> Subscription:
    await transaction.run(
        "UPDATE subscriptions SET status = 'active', disabled_reason = NULL, failing_since = NULL WHERE id = :id", {"id": subscription.id})
    if not keep_held:
        await send_held(transaction, subscription.id, now)
    transaction.ring("deliveries", "replays")
    return msgspec.structs.replace(subscription, status=SubscriptionStatus.ACTIVE, disabled_reason=None, failing_since=None)
