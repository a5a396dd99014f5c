"""Deliveries as their owners see them: looked up, asked for by hand."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from relay.model import Attempt, Delivery, DeliveryStatus
from relay.ports.page import Page
from relay.ports.store import DeliveryFilter
from relay.stores.byhand import check_retry, one_more
from relay.stores.page import END_OF_TIME, page
from relay.stores.row import micros, read_attempt, read_delivery, read_event
from relay.stores.sqlite.connection import Parameters, Readers, Row
from relay.stores.sqlite.routing import insert_deliveries
from relay.stores.sqlite.subscription import find_subscription
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer


class Deliveries:
    """The deliveries' part of the store, but for what sends them."""

    def __init__(self, readers: Readers, writer: Writer, new_id: Callable[[str], str]) -> None:
        self._readers = readers
        self._writer = writer
        self._new_id = new_id

    async def add_delivery(self, account_id: str, event_id: str, subscription_id: str, *, now: datetime) -> Delivery | None:
        def add(transaction: Transaction) -> Delivery | None:
            row = transaction.fetch_one(
                "SELECT * FROM events WHERE id = :id AND account_id = :account_id", {"id": event_id, "account_id": account_id})
            subscription = find_subscription(transaction, account_id, subscription_id)
            if row is None or subscription is None:
                return None
            delivery = one_more(self._new_id("dlv"), read_event(row), subscription, now)
            insert_deliveries(transaction, [delivery])
            return delivery

        return await self._writer.write_alone(add)

    async def retry_delivery(self, account_id: str, delivery_id: str, *, now: datetime) -> Delivery | None:
        def retry(transaction: Transaction) -> Delivery | None:
            row = transaction.fetch_one(
                """SELECT deliveries.*, subscriptions.deleted_at, length(events.body) AS told_bytes, leased AS is_held FROM deliveries
                JOIN subscriptions ON subscriptions.id = deliveries.subscription_id JOIN events ON events.id = deliveries.event_id
                WHERE deliveries.id = :id AND deliveries.account_id = :account_id""", {"id": delivery_id, "account_id": account_id})
            if row is None:
                return None
            check_retry(row)
            transaction.run(
                """UPDATE deliveries SET status = 'pending', next_attempt_at = :now, manual = 1, completed_at = NULL
                WHERE id = :id""", {"id": delivery_id, "now": micros(now)})
            transaction.ring("deliveries")
            return msgspec.structs.replace(
                read_delivery(row), status=DeliveryStatus.PENDING, next_attempt_at=now, manual=True, completed_at=None)

        return await self._writer.write_alone(retry)

    async def delivery(self, account_id: str, delivery_id: str) -> Delivery | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM deliveries_shown WHERE id = :id AND account_id = :account_id", {"id": delivery_id, "account_id": account_id})
        return None if row is None else read_delivery(row)

    async def deliveries(self, account_id: str, which: DeliveryFilter, *, limit: int, cursor: str | None = None) -> Page:
        last = cursor and await self._readers.fetch_one(
            "SELECT created_at, seq FROM deliveries WHERE id = :cursor AND account_id = :account_id",
            {"cursor": cursor, "account_id": account_id})
        rows = await self._listing(which)({
            "account_id": account_id, "task_id": which.task_id, "subscription_id": which.subscription_id, "status": which.status,
            "event_type": which.event_type, "since": micros(which.since) if which.since else 0, "limit": limit + 1,
            "last_at": last["created_at"] if last else END_OF_TIME, "last_seq": last["seq"] if last else 0})
        return page(rows, limit, read_delivery)

    def _listing(self, which: DeliveryFilter) -> Callable[[Parameters], Awaitable[list[Row]]]:
        """The query whose index fits."""
        if which.task_id is not None:
            return self._of_task
        return self._of_account if which.subscription_id is None else self._of_subscription

    async def _of_task(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM deliveries_shown WHERE task_id = :task_id AND account_id = :account_id
            AND (:subscription_id IS NULL OR subscription_id = :subscription_id)
            AND (created_at, seq) < (:last_at, :last_seq) AND created_at >= :since
            AND (:status IS NULL OR status = :status) AND (:event_type IS NULL OR event_type = :event_type)
            ORDER BY created_at DESC, seq DESC LIMIT :limit""", parameters)

    async def _of_subscription(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM deliveries_shown WHERE subscription_id = :subscription_id AND account_id = :account_id
            AND (created_at, seq) < (:last_at, :last_seq) AND created_at >= :since
            AND (:status IS NULL OR status = :status) AND (:event_type IS NULL OR event_type = :event_type)
            ORDER BY created_at DESC, seq DESC LIMIT :limit""", parameters)

    async def _of_account(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM deliveries_shown WHERE account_id = :account_id
            AND (created_at, seq) < (:last_at, :last_seq) AND created_at >= :since
            AND (:status IS NULL OR status = :status) AND (:event_type IS NULL OR event_type = :event_type)
            ORDER BY created_at DESC, seq DESC LIMIT :limit""", parameters)

    async def attempts(self, account_id: str, delivery_id: str) -> list[Attempt]:
        rows = await self._readers.fetch(
            """SELECT attempts.* FROM attempts JOIN deliveries ON deliveries.id = attempts.delivery_id
            WHERE attempts.delivery_id = :id AND deliveries.account_id = :account_id ORDER BY attempts.seq""",
            {"id": delivery_id, "account_id": account_id})
        return [read_attempt(row) for row in rows]
