"""What a batch of changes makes of tasks: pure, so that every store decides alike. Reading them before and writing them after is the
store's own."""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from relay.lifecycle import Decision, decide
from relay.model import Callback, Change, Event, Note, Task, TaskStatus, Via
from relay.ports.store import Applied, Job
from relay.stores.row import json_text, micros_or_none
from relay.view import Link, task_event

_OPEN = (TaskStatus.SUBMITTED, TaskStatus.PROCESSING)
_submission = attrgetter("provider_task_id", "cost", "submitted_at", "accepted")


class Standing(Struct):
    """A task as it stands inside the batch, with what only the store knows of it. `is_submission_changed`: what is known of how it was
    submitted is not what it was before the batch."""

    task: Task
    due_at: datetime | None
    is_held: bool
    is_erased: bool
    seq: int
    is_submission_changed: bool = False


class Batch(Struct):
    """What is to be written once all changes are decided."""

    standing: dict[str, Standing]
    callbacks: list[Callback] = []
    events: list[Event] = []
    notes: list[Note] = []
    topics: list[str] = []


def apply_one(batch: Batch, change: Change, link: Link, new_id: Callable[[str], str]) -> Applied | None:
    """The next change of the batch, on what those before it left."""
    standing = batch.standing.get(change.task_id)
    if standing is None or (change.callback and change.callback.provider != standing.task.provider):
        return None
    decision = decide(standing.task, change)
    events = [task_event(new_id("evt"), kind, decision.task, link, change.now) for kind in decision.events]
    batch.topics += _topics(standing.task, decision.task)
    batch.events += events
    if change.callback is not None:
        batch.callbacks.append(_recorded(change.callback, standing, decision))
    if change.note is not None:
        batch.notes.append(change.note)
    _move(standing, change, decision)
    return Applied(task=decision.task, verdict=decision.verdict, events=tuple(events))


def with_tasks(batch: Batch, jobs: Sequence[Job]) -> list[Job]:
    """Each with its task as the batch leaves it."""
    return [msgspec.structs.replace(job, task=batch.standing[job.event.task_id].task) if job.event.task_id else job for job in jobs]


def standing_row(standing: Standing) -> dict[str, Any]:
    """What a change can touch, and no more: the prompt and its input are not written again."""
    task = standing.task
    return {
        "seq": standing.seq, "id": task.id, "status": str(task.status), "progress": task.progress,
        "images": json_text(task.images) if task.images else "[]", "error": json_text(task.error) if task.error else None,
        "provider_task_id": task.provider_task_id, "via": str(task.via) if task.via else None, "cost": task.cost,
        "submitted_at": micros_or_none(task.submitted_at), "completed_at": micros_or_none(task.completed_at),
        "accepted": task.accepted, "due_at": micros_or_none(standing.due_at), "leased": standing.is_held,
    }


def _topics(before: Task, after: Task) -> list[str]:
    topics = [] if before == after else [f"task:{after.id}"]
    if after.status in _OPEN:
        return [*topics, "polls"]
    return [*topics, f"room:{after.provider}"] if before.status in _OPEN else topics


def _recorded(callback: Callback, standing: Standing, decision: Decision) -> Callback:
    """With its verdict; of an erased task only that it came."""
    body = "" if standing.is_erased else callback.body
    return msgspec.structs.replace(callback, verdict=decision.verdict, account_id=standing.task.account_id, body=body)


def _move(standing: Standing, change: Change, decision: Decision) -> None:
    standing.is_submission_changed = standing.is_submission_changed or _submission(standing.task) != _submission(decision.task)
    standing.task = decision.task
    if decision.task.status.is_final:
        standing.due_at, standing.is_held = None, False
        return
    standing.is_held = standing.is_held and not change.releases
    if decision.task.status in _OPEN:
        standing.due_at = _due_at(standing, change, decision)


def _due_at(standing: Standing, change: Change, decision: Decision) -> datetime | None:
    """When to look at an open task: at its deadline at the latest, once it was accepted or scheduled. A wish to ask at once that
    came before the submit answer stands."""
    if decision.asks_provider:
        return change.now
    if change.via is Via.RESPONSE and standing.due_at is not None and standing.due_at <= change.now:
        return standing.due_at
    deadline = decision.task.deadline_at
    at = change.next_at or standing.due_at or (deadline if decision.task.accepted else None)
    return min(at, deadline) if at and deadline else at
