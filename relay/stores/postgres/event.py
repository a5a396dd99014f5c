"""Events: recorded where no change made them, listed, streamed in the order of commit."""

from relay.model import Delivery, Event
from relay.ports.page import Page
from relay.ports.store import EventFilter
from relay.stores.page import page
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.lock import lock_accounts
from relay.stores.postgres.routing import Router, insert_deliveries, insert_events, own_subscriptions
from relay.stores.postgres.subscription import find_subscription
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.stores.row import Parameters, Row, read_event


class Events:
    """The events' part of the store."""

    def __init__(self, readers: Readers, writer: Writer, router: Router) -> None:
        self._readers = readers
        self._writer = writer
        self._router = router

    async def add_event(self, event: Event) -> list[Delivery]:
        async def add(transaction: Transaction) -> list[Delivery]:
            await lock_accounts(transaction, [event.account_id])
            deliveries = await self._deliveries(transaction, event)
            await insert_events(transaction, [event])
            await insert_deliveries(transaction, deliveries)
            return deliveries

        return await self._writer.write_alone(add)

    async def _deliveries(self, transaction: Transaction, event: Event) -> list[Delivery]:
        if event.subscription_id is None:
            own = await own_subscriptions(transaction, [event.task_id]) if event.task_id else {}
            return [job.delivery for job in await self._router.route(transaction, [event], own)]
        subscription = await find_subscription(transaction, event.account_id, event.subscription_id)
        return [] if subscription is None else [self._router.delivery(event, subscription)]

    async def event(self, account_id: str, event_id: str) -> Event | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM events WHERE id = :id AND account_id = :account_id", {"id": event_id, "account_id": account_id})
        return None if row is None else read_event(row)

    async def events(self, account_id: str, which: EventFilter, *, limit: int, cursor: str | None = None) -> Page:
        rows = await (self._events_of_task if which.task_id else self._events_of_account)(
            {"account_id": account_id, "task_id": which.task_id, "type": which.type, "cursor": cursor, "limit": limit + 1})
        return page(rows, limit, read_event)

    async def _events_of_task(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM events WHERE task_id = :task_id AND account_id = :account_id
            AND seq < coalesce((SELECT seq FROM events WHERE id = :cursor), 9223372036854775807)
            AND (CAST(:type AS text) IS NULL OR type = :type) ORDER BY seq DESC LIMIT :limit""", parameters)

    async def _events_of_account(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM events WHERE account_id = :account_id
            AND seq < coalesce((SELECT seq FROM events WHERE id = :cursor), 9223372036854775807)
            AND (CAST(:type AS text) IS NULL OR type = :type) ORDER BY seq DESC LIMIT :limit""", parameters)

    async def events_since(self, account_id: str, after: str | None, *, limit: int) -> list[Event]:
        """Whoever inserts events of an account holds its lock until the commit, so `seq` is the order of commit. For an id that is not
        known: from the first commit of an event with a later id, which may repeat an event and never leaves one out."""
        rows = await self._readers.fetch(
            """SELECT * FROM events WHERE account_id = :account_id AND seq >= CASE WHEN CAST(:after AS text) IS NULL THEN 0 ELSE coalesce(
                (SELECT seq + 1 FROM events WHERE id = :after AND account_id = :account_id),
                (SELECT min(seq) FROM events WHERE id > :after AND account_id = :account_id),
                9223372036854775807) END
            ORDER BY seq LIMIT :limit""", {"account_id": account_id, "after": after, "limit": limit})
        return [read_event(row) for row in rows]

    async def last_event_id(self, account_id: str) -> str | None:
        row = await self._readers.fetch_one(
            "SELECT id FROM events WHERE account_id = :account_id ORDER BY seq DESC LIMIT 1", {"account_id": account_id})
        return None if row is None else row["id"]
