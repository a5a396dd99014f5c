"""What became of deliveries that were sent: written down for all that wait at once, each table read once and written once, however
many attempts ended together.

It may come twice, where nobody knows whether the first time was recorded: an attempt that is there already makes nothing of its
delivery any more. And it may come from a process that was taken for dead meanwhile, so that somebody else has the delivery: that the
attempt was made is recorded, and a success stands; the lease, and what a failure would make of it, are the new holder's.

Everybody locks accounts before deliveries. But few attempts change the health of a subscription, for which its account's lock is needed,
and which do is known only when the deliveries are locked. So that lock is tried for; if somebody has it the transaction is made again, and
begins with it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from relay.model import DeliveryStatus
from relay.ports.store import Settlement
from relay.stores.postgres.alarm import Alarms
from relay.stores.postgres.fault import Again
from relay.stores.postgres.lock import lock_accounts, try_lock_accounts
from relay.stores.postgres.move import hold_pending
from relay.stores.postgres.routing import Router
from relay.stores.postgres.tenure import Tenure
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.stores.row import Row, attempt_row
from relay.stores.settling import Health, Settled, read_health, settle

_Each = Sequence[tuple[Settlement, datetime]]


class Dispatch:
    """The end of the store's lease of deliveries."""

    def __init__(self, writer: Writer, router: Router, alarms: Alarms, holder: str, tenure: Tenure) -> None:
        self._writer = writer
        self._router = router
        self._alarms = alarms
        self._holder = holder
        self._tenure = tenure
        self._lock_first: set[str] = set()

    async def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:
        await self._writer.write(self._settle_all, Settled(settlements, now))

    async def _settle_all(self, transaction: Transaction, calls: Sequence[Settled]) -> list[None]:
        each = [(settlement, call.now) for call in calls for settlement in call.settlements]
        if each:
            locked, self._lock_first = self._lock_first, set()
            if locked:
                await lock_accounts(transaction, locked)
            new = await _insert_attempts(transaction, each)
            if new:
                await self._settle_new(transaction, new, locked)
        return [None] * len(calls)

    async def _settle_new(self, transaction: Transaction, each: _Each, locked: set[str]) -> None:
        deliveries, health = await _read_settled(transaction, [settlement.attempt.delivery_id for settlement, _ in each])
        for row in deliveries.values():
            self._router.saw(row["account_id"], row["changes"])
        standing, overtaken = self._divide(each, deliveries)
        rows = [settle(deliveries, health, settlement, now) for settlement, now in standing]
        await self._try_locks(transaction, _accounts_changed(deliveries, health, standing), locked)
        await _update_settled(transaction, rows, self._holder)
        await _count_attempts(transaction, overtaken)
        await self._update_subscriptions(transaction, deliveries, health, standing)
        self._ring(transaction, deliveries, rows)
        transaction.afterwards(lambda: self._tenure.touch({row["subscription_id"] for row in deliveries.values()}))

    def _divide(self, each: _Each, deliveries: Mapping[str, Row]) -> tuple[_Each, Sequence[Settlement]]:
        """Those that stand, and the failures at what somebody else holds by now."""
        standing, overtaken = list[tuple[Settlement, datetime]](), list[Settlement]()
        for settlement, now in each:
            is_ours = deliveries[settlement.attempt.delivery_id]["holder"] in (None, self._holder)
            if is_ours or settlement.status is DeliveryStatus.DELIVERED:
                standing.append((settlement, now))
            else:
                overtaken.append(settlement)
        return standing, overtaken

    async def _update_subscriptions(self, transaction: Transaction, deliveries: Mapping[str, Row], health: Mapping[str, Health],
                                    each: _Each) -> None:
        changed = {key: one for key, one in health.items() if one.is_changed}
        await _update_health(transaction, changed)
        await _update_slowness(transaction, deliveries, [settlement for settlement, _ in each])
        for key in [key for key, one in changed.items() if one.disabled_reason]:
            await hold_pending(transaction, key, each[-1][1])
        for account_id in sorted({one.account_id for one in changed.values()}):
            await self._router.forget(transaction, account_id)
        await self._alarms.tell(transaction, [incident for one in health.values() for incident in one.incidents])

    async def _try_locks(self, transaction: Transaction, wanted: set[str], locked: set[str]) -> None:
        if not wanted <= locked and not await try_lock_accounts(transaction, wanted - locked):
            self._lock_first = wanted | locked
            raise Again("the account is busy all the time")

    @staticmethod
    def _ring(transaction: Transaction, deliveries: Mapping[str, Row], rows: Sequence[Mapping[str, Any]]) -> None:
        if any(row["status"] == "pending" or deliveries[row["id"]]["ordered"] for row in rows):  # or the next one may go
            transaction.ring("deliveries")
        if any(deliveries[row["id"]]["replay_id"] for row in rows):
            transaction.ring("replays")


def _accounts_changed(deliveries: Mapping[str, Row], health: Mapping[str, Health], each: _Each) -> set[str]:
    """Those of which a subscription is to be written."""
    slowed = {deliveries[settlement.attempt.delivery_id]["account_id"] for settlement, _ in each if settlement.slowness is not None}
    return slowed | {one.account_id for one in health.values() if one.is_changed or one.incidents}


async def _insert_attempts(transaction: Transaction, each: _Each) -> _Each:
    """Those that were not recorded before, of deliveries that are there, which are locked with it."""
    rows = [attempt_row(settlement.attempt) for settlement, _ in each]
    inserted = await transaction.fetch(
        """WITH locked AS MATERIALIZED (
            SELECT id FROM deliveries WHERE id = ANY(CAST(:delivery_id AS text[])) ORDER BY seq FOR UPDATE)
        INSERT INTO attempts (id, delivery_id, number, started_at, duration_ms, status_code, error, response_body)
        SELECT given.id, given.delivery_id, given.number, given.started_at, given.duration_ms, given.status_code, given.error,
        given.response_body
        FROM unnest(CAST(:id AS text[]), CAST(:delivery_id AS text[]), CAST(:number AS bigint[]), CAST(:started_at AS bigint[]),
            CAST(:duration_ms AS float8[]), CAST(:status_code AS bigint[]), CAST(:error AS text[]), CAST(:response_body AS text[]))
            WITH ORDINALITY AS given (id, delivery_id, number, started_at, duration_ms, status_code, error, response_body, place)
        JOIN locked ON locked.id = given.delivery_id ORDER BY given.place
        ON CONFLICT (id) DO NOTHING RETURNING id""", {name: [row[name] for row in rows] for name in rows[0]})
    new = {row["id"] for row in inserted}
    return [(settlement, now) for settlement, now in each if settlement.attempt.id in new]


async def _read_settled(transaction: Transaction, ids: Sequence[str]) -> tuple[dict[str, Row], dict[str, Health]]:
    rows = await transaction.fetch(
        """SELECT deliveries.id, deliveries.status, deliveries.subscription_id, deliveries.holder, subscriptions.account_id,
        subscriptions.status AS subscription_status, subscriptions.task_id, subscriptions.failing_since, subscriptions.deleted_at,
        subscriptions.ordered, subscriptions.troubled, deliveries.replay_id, accounts.changes
        FROM deliveries_shown AS deliveries JOIN subscriptions ON subscriptions.id = deliveries.subscription_id
        JOIN accounts ON accounts.id = subscriptions.account_id
        WHERE deliveries.id = ANY(CAST(:ids AS text[]))""", {"ids": list(ids)})
    return {row["id"]: row for row in rows}, {row["subscription_id"]: read_health(row) for row in rows}


async def _update_settled(transaction: Transaction, rows: Sequence[Mapping[str, Any]], holder: str) -> None:
    """Of several outcomes of one delivery the last one stands; all are counted."""
    made, last = Counter(row["id"] for row in rows), {row["id"]: row for row in rows}
    if not last:
        return
    await transaction.run(
        """UPDATE deliveries SET status = new.status, next_attempt_at = new.next_attempt_at, attempts = attempts + new.made, manual = false,
        holder = nullif(deliveries.holder, :holder), completed_at = coalesce(new.completed_at, deliveries.completed_at)
        FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:next_at AS bigint[]), CAST(:completed_at AS bigint[]),
            CAST(:made AS bigint[])) AS new (id, status, next_attempt_at, completed_at, made) WHERE deliveries.id = new.id""",
        {"holder": holder, "ids": list(last), "statuses": [row["status"] for row in last.values()],
         "next_at": [row["next_attempt_at"] for row in last.values()], "completed_at": [row["completed_at"] for row in last.values()],
         "made": [made[key] for key in last]})


async def _count_attempts(transaction: Transaction, settlements: Sequence[Settlement]) -> None:
    made = Counter(settlement.attempt.delivery_id for settlement in settlements)
    if made:
        await transaction.run(
            """UPDATE deliveries SET attempts = attempts + new.made
            FROM unnest(CAST(:ids AS text[]), CAST(:made AS bigint[])) AS new (id, made) WHERE deliveries.id = new.id""",
            {"ids": list(made), "made": list(made.values())})


async def _update_health(transaction: Transaction, changed: Mapping[str, Health]) -> None:
    if changed:
        await transaction.run(
            """UPDATE subscriptions SET failing_since = new.failing_since,
            status = CASE WHEN new.reason IS NULL THEN status ELSE 'disabled' END, disabled_reason = coalesce(new.reason, disabled_reason)
            FROM unnest(CAST(:ids AS text[]), CAST(:since AS bigint[]), CAST(:reasons AS text[])) AS new (id, failing_since, reason)
            WHERE subscriptions.id = new.id""",
            {"ids": list(changed), "since": [one.failing_since for one in changed.values()],
             "reasons": [one.disabled_reason for one in changed.values()]})


async def _update_slowness(transaction: Transaction, deliveries: Mapping[str, Row], settlements: Sequence[Settlement]) -> None:
    """Whoever routes does not ask for it, so nothing is forgotten."""
    after = {deliveries[settlement.attempt.delivery_id]["subscription_id"]: settlement.slowness
             for settlement in settlements if settlement.slowness is not None}
    if after:
        await transaction.run(
            """UPDATE subscriptions SET slowness = new.slowness
            FROM unnest(CAST(:ids AS text[]), CAST(:slowness AS bigint[])) AS new (id, slowness) WHERE subscriptions.id = new.id""",
            {"ids": list(after), "slowness": list(after.values())})
