"""`apply`: what happened to tasks, recorded.

All changes that wait together are handled in order of arrival on tasks read once, so that two changes of one task see each
other; then each table is written once.
"""

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from relay.model import Callback, Change, Note
from relay.ports.store import Applied
from relay.stores.batch import Batch, Standing, apply_one, standing_row, with_tasks
from relay.stores.row import callback_row, json_text, moment_or_none, note_row, read_task
from relay.stores.sqlite.alarm import Alarms
from relay.stores.sqlite.connection import Row
from relay.stores.sqlite.handover import Handover
from relay.stores.sqlite.routing import OwnSubscriptions, Router, insert_deliveries, insert_events, own_subscriptions
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer
from relay.view import Link


class Changes:
    """The store's `apply`."""

    def __init__(self, writer: Writer, router: Router, handover: Handover, alarms: Alarms, link: Link,
                 new_id: Callable[[str], str]) -> None:
        self._writer = writer
        self._router = router
        self._handover = handover
        self._alarms = alarms
        self._link = link
        self._new_id = new_id

    def apply(self, change: Change) -> Coroutine[Any, Any, Applied | None]:
        """Passed on rather than awaited: one frame less for every callback."""
        return self._writer.write(self._apply_all, change)

    def _apply_all(self, transaction: Transaction, changes: Sequence[Change]) -> list[Applied | None]:
        rows = _read_standing(transaction, {change.task_id for change in changes})
        batch = Batch(standing={row["id"]: _standing(row) for row in rows})
        applied = [apply_one(batch, change, self._link, self._new_id) for change in changes]
        routed = with_tasks(batch, self._router.route(transaction, batch.events, _own(transaction, rows)))
        handed = {job.delivery.id for job in self._handover.offer(transaction, routed, max(change.now for change in changes))}
        _update_tasks(transaction, batch)
        _insert_callbacks(transaction, batch.callbacks)
        insert_events(transaction, batch.events)
        insert_deliveries(transaction, [job.delivery for job in routed], held=handed)
        insert_notes(transaction, batch.notes)
        transaction.ring(*batch.topics)
        for change, one in zip(changes, applied, strict=True):
            if one and change.update and change.update.credits_left is not None:
                self._alarms.watch_credits(transaction, one.task.provider, change)
        return applied


def _read_standing(transaction: Transaction, ids: Collection[str]) -> list[Row]:
    return transaction.fetch(
        """SELECT tasks.*, EXISTS (
            SELECT 1 FROM subscriptions WHERE subscriptions.task_id = tasks.id AND deleted_at IS NULL) AS has_subscription
        FROM json_each(:ids) AS given CROSS JOIN tasks ON tasks.id = given.value""", {"ids": json_text(list(ids))})


def _standing(row: Row) -> Standing:
    return Standing(read_task(row), moment_or_none(row["due_at"]), bool(row["leased"]), row["erased_at"] is not None, row["seq"])


def _own(transaction: Transaction, rows: Sequence[Row]) -> OwnSubscriptions:
    ids = [row["id"] for row in rows if row["has_subscription"]]
    return own_subscriptions(transaction, ids) if ids else {}


def _update_tasks(transaction: Transaction, batch: Batch) -> None:
    """What most changes leave as it is has an index, so that is not written where it need not be."""
    transaction.run_rows(
        """WITH new (seq, status, progress, images, error, via, completed_at, due_at, leased) AS (VALUES :rows)
        UPDATE tasks SET status = new.status, progress = new.progress, images = new.images, error = new.error, via = new.via,
        completed_at = new.completed_at, due_at = new.due_at, leased = new.leased FROM new WHERE tasks.seq = new.seq""",
        [standing_row(standing) for standing in batch.standing.values()])
    transaction.run_rows(
        """WITH new (seq, provider_task_id, cost, submitted_at, accepted) AS (VALUES :rows)
        UPDATE tasks SET provider_task_id = new.provider_task_id, cost = new.cost, submitted_at = new.submitted_at,
        accepted = new.accepted FROM new WHERE tasks.seq = new.seq""",
        [standing_row(standing) for standing in batch.standing.values() if standing.is_submission_changed])


def _insert_callbacks(transaction: Transaction, callbacks: Sequence[Callback]) -> None:
    transaction.run_rows(
        """INSERT INTO callbacks (id, task_id, account_id, provider, verdict, headers, body, received_at)
        VALUES :rows""", [callback_row(callback) for callback in callbacks])


def insert_notes(transaction: Transaction, notes: Sequence[Note]) -> None:
    transaction.run_rows(
        "INSERT INTO notes (task_id, at, kind, detail) VALUES :rows", [note_row(note) for note in notes])
