"""What owners are told of (see relay.stores.incident), recorded.

Whatever is told makes an event, so whoever calls has the account's lock; for the operator's account, which is another than that of the
task whose update tells of credits, it is taken here.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from relay.model import Change, Event, EventType
from relay.stores.incident import DAY, FAILURES_TOLD, HOUR, Incident, credits_low, is_fourth_failure, subject_of
from relay.stores.postgres.lock import lock_accounts
from relay.stores.postgres.routing import Router, insert_deliveries, insert_events
from relay.stores.postgres.transaction import Transaction
from relay.stores.row import Row, micros, read_delivery, read_subscription
from relay.view import credits_event, subscription_event


class Alarms:
    """To be used inside the writer's transactions only."""

    def __init__(self, router: Router, new_id: Callable[[str], str]) -> None:
        self._router = router
        self._new_id = new_id

    async def tell(self, transaction: Transaction, incidents: Sequence[Incident]) -> None:
        """Record what is worth telling, once the attempts and what follows from them are written."""
        if incidents:
            rows = await _read_deliveries(transaction, incidents)
            events = [await self._event(transaction, incident, rows[incident.attempt.delivery_id]) for incident in incidents]
            await self._record(transaction, [event for event in events if event])

    async def watch_credits(self, transaction: Transaction, provider: str, change: Change) -> None:
        """Tell the operator if an update says that few are left. Once that is told every update may say so: none waits for the lock."""
        left = credits_low(change)
        if left is None:
            return
        account = await transaction.fetch_one(
            """SELECT id FROM accounts WHERE name = 'default' AND NOT EXISTS (
                SELECT FROM alarms WHERE account_id = accounts.id AND type = :type AND subject = :provider AND told_at > :before)""",
            {"type": EventType.CREDITS_LOW.value, "provider": provider, "before": micros(change.now - DAY)})
        if account is None:
            return
        await lock_accounts(transaction, [account["id"]])
        if await _is_time(transaction, account["id"], EventType.CREDITS_LOW, provider, change.now, DAY):
            await self._record(transaction, [credits_event(self._new_id("evt"), account["id"], provider, left, change.now)])

    async def _record(self, transaction: Transaction, events: Sequence[Event]) -> None:
        if events:
            jobs = await self._router.route(transaction, events, {})
            await insert_events(transaction, events)
            await insert_deliveries(transaction, [job.delivery for job in jobs])

    async def _event(self, transaction: Transaction, incident: Incident, row: Row) -> Event | None:
        [found] = await transaction.fetch("SELECT * FROM subscriptions WHERE id = :id", {"id": row["subscription_id"]})
        subscription, kind, now = read_subscription(found), incident.kind, incident.now
        if subscription.deleted_at or (kind is EventType.DELIVERY_FAILING and not await _just_so_often(transaction, incident)):
            return None
        is_told = await _is_time(transaction, subscription.account_id, kind, subject_of(subscription), now, HOUR)
        if is_told or kind is not EventType.DELIVERY_FAILING:
            await transaction.run(
                "UPDATE subscriptions SET troubled = :troubled WHERE id = :id", {"id": subscription.id, "troubled": incident.is_failure})
        if not is_told:
            return None
        return subscription_event(self._new_id("evt"), kind, subscription, read_delivery(row), incident.last_error, now)


async def _read_deliveries(transaction: Transaction, incidents: Sequence[Incident]) -> dict[str, Row]:
    rows = await transaction.fetch(
        "SELECT * FROM deliveries WHERE id = ANY(CAST(:ids AS text[]))",
        {"ids": list({incident.attempt.delivery_id for incident in incidents})})
    return {row["id"]: row for row in rows}


async def _just_so_often(transaction: Transaction, incident: Incident) -> bool:
    rows = await transaction.fetch(
        """SELECT error IS NULL AND status_code BETWEEN 200 AND 299 AS is_success FROM attempts WHERE delivery_id = :id
        ORDER BY seq DESC LIMIT :most""", {"id": incident.attempt.delivery_id, "most": FAILURES_TOLD + 1})
    return is_fourth_failure([bool(row["is_success"]) for row in rows])


async def _is_time(transaction: Transaction, account_id: str, kind: EventType, subject: str, now: datetime, span: timedelta) -> bool:
    """Whether it was not told within `span`; if so, it is from now on."""
    rows = await transaction.fetch(
        """INSERT INTO alarms (account_id, type, subject, told_at) VALUES (:account_id, :type, :subject, :now)
        ON CONFLICT (account_id, type, subject) DO UPDATE SET told_at = excluded.told_at WHERE alarms.told_at <= :before
        RETURNING subject""",
        {"account_id": account_id, "type": kind.value, "subject": subject, "now": micros(now), "before": micros(now - span)})
    return bool(rows)
