"""`apply`: what happened to tasks, recorded.

All changes that wait together are handled in order of arrival on tasks read once, so that two changes of one task see each
other; then each table is written once.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from relay.lifecycle import Decision, decide
from relay.model import Callback, Change, Event, Note, Task, TaskStatus, Via
from relay.ports.store import Applied, Job
from relay.stores.sqlite.alarm import Alarms
from relay.stores.sqlite.connection import Parameters, Row
from relay.stores.sqlite.handover import Handover
from relay.stores.sqlite.routing import Router, insert_deliveries, insert_events, own_subscriptions
from relay.stores.sqlite.row import callback_row, json_text, micros_or_none, moment_or_none, note_row, read_task
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer
from relay.view import Link, task_event

_OPEN = (TaskStatus.SUBMITTED, TaskStatus.PROCESSING)


class _Standing(Struct):
    """A task as it stands inside the batch, with what only the store knows of it."""

    task: Task
    due_at: datetime | None
    leased: bool
    is_erased: bool


class _Batch(Struct):
    """What is to be written once all changes are decided."""

    standing: dict[str, _Standing]
    callbacks: list[Callback] = []
    events: list[Event] = []
    notes: list[Note] = []
    topics: list[str] = []


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

    async def apply(self, change: Change) -> Applied | None:
        return await self._writer.write(self._apply_all, change)

    def _apply_all(self, transaction: Transaction, changes: Sequence[Change]) -> list[Applied | None]:
        ids = {change.task_id for change in changes}
        standing, own = _read_standing(transaction, ids), own_subscriptions(transaction, ids)
        batch = _Batch(standing=standing)
        applied = [self._apply_one(batch, change) for change in changes]
        routed = self._with_tasks(batch, self._router.route(transaction, batch.events, own))
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

    @staticmethod
    def _with_tasks(batch: _Batch, jobs: Sequence[Job]) -> list[Job]:
        return [msgspec.structs.replace(job, task=batch.standing[job.event.task_id].task) if job.event.task_id else job for job in jobs]

    def _apply_one(self, batch: _Batch, change: Change) -> Applied | None:
        standing = batch.standing.get(change.task_id)
        if standing is None or (change.callback and change.callback.provider != standing.task.provider):
            return None
        decision = decide(standing.task, change)
        events = tuple(task_event(self._new_id("evt"), kind, decision.task, self._link, change.now) for kind in decision.events)
        batch.topics += _topics(standing.task, decision.task)
        batch.events += events
        batch.callbacks += _callbacks(standing, change, decision)
        batch.notes += [change.note] if change.note else []
        _move(standing, change, decision)
        return Applied(task=decision.task, verdict=decision.verdict, events=events)


def _topics(before: Task, after: Task) -> list[str]:
    topics = [] if before == after else [f"task:{after.id}"]
    if after.status in _OPEN:
        return [*topics, "polls"]
    return [*topics, "submissions"] if before.status in _OPEN else topics


def _callbacks(standing: _Standing, change: Change, decision: Decision) -> list[Callback]:
    """The callback with its verdict; of an erased task only that it came."""
    if change.callback is None:
        return []
    body = "" if standing.is_erased else change.callback.body
    return [msgspec.structs.replace(change.callback, verdict=decision.verdict, account_id=standing.task.account_id, body=body)]


def _move(standing: _Standing, change: Change, decision: Decision) -> None:
    standing.task = decision.task
    if decision.task.status.is_final:
        standing.due_at, standing.leased = None, False
        return
    standing.leased = standing.leased and not change.releases
    if decision.task.status in _OPEN:
        standing.due_at = _due_at(standing, change, decision)


def _due_at(standing: _Standing, change: Change, decision: Decision) -> datetime | None:
    """When to look at an open task: at its deadline at the latest, once it was accepted or scheduled. A wish to ask at once that
    came before the submit answer stands."""
    if decision.asks_provider:
        return change.now
    if change.via is Via.RESPONSE and standing.due_at is not None and standing.due_at <= change.now:
        return standing.due_at
    deadline = decision.task.deadline_at
    at = change.next_at or standing.due_at or (deadline if decision.task.accepted else None)
    return min(at, deadline) if at and deadline else at


def _read_standing(transaction: Transaction, ids: set[str]) -> dict[str, _Standing]:
    rows = transaction.fetch("SELECT * FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))", {"ids": json_text(list(ids))})
    return {row["id"]: _standing(row) for row in rows}


def _standing(row: Row) -> _Standing:
    return _Standing(read_task(row), moment_or_none(row["due_at"]), bool(row["leased"]), row["erased_at"] is not None)


def _update_tasks(transaction: Transaction, batch: _Batch) -> None:
    transaction.run_rows(
        """WITH new (id, status, progress, images, error, provider_task_id, via, cost, submitted_at, completed_at, accepted, due_at, leased)
        AS (VALUES :rows)
        UPDATE tasks SET status = new.status, progress = new.progress, images = new.images, error = new.error,
        provider_task_id = new.provider_task_id, via = new.via, cost = new.cost, submitted_at = new.submitted_at,
        completed_at = new.completed_at, accepted = new.accepted, due_at = new.due_at, leased = new.leased
        FROM new WHERE tasks.id = new.id""",
        [_standing_row(standing) for standing in batch.standing.values()])


def _standing_row(standing: _Standing) -> Parameters:
    """What a change can touch, and no more: the prompt and its input are not written again."""
    task = standing.task
    return {
        "id": task.id, "status": task.status.value, "progress": task.progress, "images": json_text(task.images),
        "error": json_text(task.error) if task.error else None, "provider_task_id": task.provider_task_id,
        "via": task.via.value if task.via else None, "cost": task.cost, "submitted_at": micros_or_none(task.submitted_at),
        "completed_at": micros_or_none(task.completed_at), "accepted": task.accepted,
        "due_at": micros_or_none(standing.due_at), "leased": standing.leased,
    }


def _insert_callbacks(transaction: Transaction, callbacks: Sequence[Callback]) -> None:
    transaction.run_rows(
        """INSERT INTO callbacks (id, task_id, account_id, provider, verdict, headers, body, received_at)
        VALUES :rows""", [callback_row(callback) for callback in callbacks])


def insert_notes(transaction: Transaction, notes: Sequence[Note]) -> None:
    transaction.run_rows(
        "INSERT INTO notes (task_id, at, kind, detail) VALUES :rows", [note_row(note) for note in notes])
