"""`apply`: what happened to tasks, recorded.

All changes that wait together are handled in order of arrival on tasks read once, and locked until the commit, so that two changes of
one task see each other, wherever they came. Then everything is written by one statement, however many they are.

Whom the events go to is decided before the account's lock is taken, from what is kept in memory; the statement that writes, made under
the lock, writes nothing if a subscription was changed in between, and the batch is made again.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from relay.model import Change
from relay.ports.store import Applied, Job
from relay.stores.batch import Batch, Standing, apply_one, standing_row, with_tasks
from relay.stores.postgres.alarm import Alarms
from relay.stores.postgres.fault import Again
from relay.stores.postgres.handover import Handover
from relay.stores.postgres.lock import lock_accounts
from relay.stores.postgres.routing import OwnSubscriptions, Router, own_subscriptions, ring_deliveries, ring_events
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.stores.row import (
    Parameters,
    Row,
    callback_row,
    delivery_row,
    event_row,
    moment_or_none,
    note_row,
    read_task,
)
from relay.view import Link


class Changes:
    """The store's `apply`."""

    def __init__(self, writer: Writer, router: Router, handover: Handover, alarms: Alarms, link: Link, new_id: Callable[[str], str],
                 holder: str) -> None:
        self._writer = writer
        self._router = router
        self._handover = handover
        self._alarms = alarms
        self._link = link
        self._new_id = new_id
        self._holder = holder
        self._lock_first: set[str] = set()

    async def apply(self, change: Change) -> Applied | None:
        return await self._writer.write(self._apply_all, change, weight=len(change.callback.body) if change.callback else 0)

    async def _apply_all(self, transaction: Transaction, changes: Sequence[Change]) -> list[Applied | None]:
        rows = await self._read_standing(transaction, {change.task_id for change in changes})
        batch = Batch(standing={row["id"]: _standing(row) for row in rows})
        applied = [apply_one(batch, change, self._link, self._new_id) for change in changes]
        seen = self._note_seen(rows)
        own = await _own(transaction, rows)
        routed = with_tasks(batch, await self._router.route(transaction, batch.events, own, seen))
        handed = await self._handover.offer(transaction, routed, max(change.now for change in changes))
        if batch.events:
            await lock_accounts(transaction, {event.account_id for event in batch.events})
        if not await _write(transaction, batch, seen, routed, self._holder, {job.delivery.id for job in handed}):
            self._lock_first = {event.account_id for event in batch.events}
            raise Again("subscriptions are changed all the time")
        transaction.ring(*batch.topics)
        for change, one in zip(changes, applied, strict=True):
            if one and change.update and change.update.credits_left is not None:
                await self._alarms.watch_credits(transaction, one.task.provider, change)
        return applied

    async def _read_standing(self, transaction: Transaction, ids: Collection[str]) -> list[Row]:
        """When the last try was in vain, under the locks that keep that from happening again."""
        rows = await _read_standing(transaction, ids)
        if not self._lock_first:
            return rows
        accounts, self._lock_first = self._lock_first, set()
        await lock_accounts(transaction, accounts)
        return await _read_standing(transaction, ids)

    def _note_seen(self, rows: Sequence[Row]) -> dict[str, int]:
        seen = {row["account_id"]: row["changes"] for row in rows}
        for account_id, changes in seen.items():
            self._router.saw(account_id, changes)
        return seen


async def _read_standing(transaction: Transaction, ids: Collection[str]) -> list[Row]:
    """In one order for all, so that two batches never wait for each other."""
    return await transaction.fetch(
        """SELECT tasks.*, accounts.changes, EXISTS (
            SELECT FROM subscriptions WHERE subscriptions.task_id = tasks.id AND deleted_at IS NULL) AS has_subscription
        FROM tasks JOIN accounts ON accounts.id = tasks.account_id WHERE tasks.id = ANY(CAST(:ids AS text[]))
        ORDER BY tasks.seq FOR NO KEY UPDATE OF tasks""", {"ids": list(ids)})


def _standing(row: Row) -> Standing:
    return Standing(read_task(row), moment_or_none(row["due_at"]), row["holder"] is not None, row["erased_at"] is not None, row["seq"])


async def _own(transaction: Transaction, rows: Sequence[Row]) -> OwnSubscriptions:
    ids = [row["id"] for row in rows if row["has_subscription"]]
    return await own_subscriptions(transaction, ids) if ids else {}


async def _write(transaction: Transaction, batch: Batch, seen: dict[str, int], routed: Sequence[Job], holder: str,
                 handed: Collection[str]) -> bool:
    """Everything at once; nothing, and False, if a subscription of the accounts that events are told in was changed since `seen` was read.
    `handed`: the deliveries that this process, `holder`, has taken. A lease of another process is not touched: this one had lost it."""
    deliveries = [job.delivery for job in routed]
    told = {event.account_id for event in batch.events}
    row = await transaction.fetch_one(
        """WITH fresh AS MATERIALIZED (
            SELECT NOT EXISTS (SELECT FROM unnest(CAST(:accounts AS text[]), CAST(:changes AS bigint[])) AS seen (id, changes)
                JOIN accounts ON accounts.id = seen.id WHERE accounts.changes <> seen.changes) AS is_so),
        moved AS (
            UPDATE tasks SET status = new.status, progress = new.progress, images = new.images, error = new.error,
                provider_task_id = new.provider_task_id, via = new.via, cost = new.cost, submitted_at = new.submitted_at,
                completed_at = new.completed_at, accepted = new.accepted, due_at = new.due_at,
                holder = CASE WHEN (new.leased OR holder <> :holder) AND new.completed_at IS NULL THEN holder END
            FROM unnest(CAST(:task_id AS text[]), CAST(:task_status AS text[]), CAST(:task_progress AS bigint[]),
                CAST(:task_images AS text[]), CAST(:task_error AS text[]), CAST(:task_provider_task_id AS text[]),
                CAST(:task_via AS text[]), CAST(:task_cost AS double precision[]), CAST(:task_submitted_at AS bigint[]),
                CAST(:task_completed_at AS bigint[]), CAST(:task_accepted AS boolean[]), CAST(:task_due_at AS bigint[]),
                CAST(:task_leased AS boolean[]))
            AS new (id, status, progress, images, error, provider_task_id, via, cost, submitted_at, completed_at, accepted, due_at, leased)
            WHERE tasks.id = new.id AND (SELECT is_so FROM fresh)),
        called AS (
            INSERT INTO callbacks (id, task_id, account_id, provider, verdict, headers, body, received_at)
            SELECT * FROM unnest(CAST(:callback_id AS text[]), CAST(:callback_task_id AS text[]), CAST(:callback_account_id AS text[]),
                CAST(:callback_provider AS text[]), CAST(:callback_verdict AS text[]), CAST(:callback_headers AS text[]),
                CAST(:callback_body AS text[]), CAST(:callback_received_at AS bigint[]))
            WHERE (SELECT is_so FROM fresh)),
        told AS (
            INSERT INTO events (id, account_id, type, created_at, body, task_id, provider, metadata, subscription_id, about_id)
            SELECT * FROM unnest(CAST(:event_id AS text[]), CAST(:event_account_id AS text[]), CAST(:event_type AS text[]),
                CAST(:event_created_at AS bigint[]), CAST(:event_body AS bytea[]), CAST(:event_task_id AS text[]),
                CAST(:event_provider AS text[]), CAST(:event_metadata AS text[]), CAST(:event_subscription_id AS text[]),
                CAST(:event_about_id AS text[]))
            WHERE (SELECT is_so FROM fresh)),
        sent AS (
            INSERT INTO deliveries (id, account_id, event_id, event_type, subscription_id, task_id, status, attempts, manual,
                next_attempt_at, created_at, completed_at, replay_id, holder)
            SELECT * FROM unnest(CAST(:delivery_id AS text[]), CAST(:delivery_account_id AS text[]), CAST(:delivery_event_id AS text[]),
                CAST(:delivery_event_type AS text[]), CAST(:delivery_subscription_id AS text[]), CAST(:delivery_task_id AS text[]),
                CAST(:delivery_status AS text[]), CAST(:delivery_attempts AS bigint[]), CAST(:delivery_manual AS boolean[]),
                CAST(:delivery_next_attempt_at AS bigint[]), CAST(:delivery_created_at AS bigint[]),
                CAST(:delivery_completed_at AS bigint[]), CAST(:delivery_replay_id AS text[]), CAST(:delivery_holder AS text[]))
            WHERE (SELECT is_so FROM fresh)),
        noted AS (
            INSERT INTO notes (task_id, at, kind, detail)
            SELECT * FROM unnest(CAST(:note_task_id AS text[]), CAST(:note_at AS bigint[]), CAST(:note_kind AS text[]),
                CAST(:note_detail AS text[]))
            WHERE (SELECT is_so FROM fresh))
        SELECT is_so FROM fresh""",
        {"holder": holder, "accounts": list(told), "changes": [seen[account_id] for account_id in told],
         **_columns("task", _TASK, [standing_row(standing) for standing in batch.standing.values()]),
         **_columns("callback", _CALLBACK, [callback_row(callback) for callback in batch.callbacks]),
         **_columns("event", _EVENT, [event_row(event) for event in batch.events]),
         **_columns("delivery", _DELIVERY, [{**delivery_row(one), "holder": holder if one.id in handed else None} for one in deliveries]),
         **_columns("note", _NOTE, [note_row(note) for note in batch.notes])})
    if row is None or not row["is_so"]:
        return False
    ring_events(transaction, batch.events)
    ring_deliveries(transaction, [delivery for delivery in deliveries if delivery.id not in handed])
    return True


_TASK = ("id", "status", "progress", "images", "error", "provider_task_id", "via", "cost", "submitted_at", "completed_at", "accepted",
         "due_at", "leased")
_CALLBACK = ("id", "task_id", "account_id", "provider", "verdict", "headers", "body", "received_at")
_EVENT = ("id", "account_id", "type", "created_at", "body", "task_id", "provider", "metadata", "subscription_id", "about_id")
_DELIVERY = ("id", "account_id", "event_id", "event_type", "subscription_id", "task_id", "status", "attempts", "manual", "next_attempt_at",
             "created_at", "completed_at", "replay_id", "holder")
_NOTE = ("task_id", "at", "kind", "detail")


def _columns(noun: str, names: Sequence[str], rows: Sequence[Parameters]) -> dict[str, list[Any]]:
    return {f"{noun}_{name}": [row[name] for row in rows] for name in names}
