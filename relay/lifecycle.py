"""The one function that applies an Update to a task: pure, so that every store applies it alike.

queued ──► submitted ──► processing ──► succeeded | failed

A final state never changes again. What comes late, twice or out of order is named so and changes nothing; progress never
runs backwards. A callback that names another provider task than ours changes nothing either.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

from relay.model import Change, EventType, Image, Task, TaskStatus, Update, Verdict, Via

_DOUBTED = (Verdict.UNREADABLE, Verdict.MISMATCHED, Verdict.UNCONFIRMED)


class Decision(Struct, frozen=True, kw_only=True):
    """`task` as it stands afterwards, what became of the update, and what there is to tell."""

    task: Task
    verdict: Verdict
    events: tuple[EventType, ...] = ()

    @property
    def asks_provider(self) -> bool:
        """The callback is not to be believed but says that something happened: the provider is to be asked at once."""
        return self.verdict in _DOUBTED and not self.task.status.is_final


def decide(task: Task, change: Change) -> Decision:
    """What `change` makes of `task`. A change whose verdict is not `applied` leaves the task as it was, but
    that an unconfirmed one shows that the provider has it (it is never sent again), and may teach it the provider's task id."""
    update = change.update
    if update is None:
        return Decision(task=task, verdict=change.verdict or Verdict.UNREADABLE)
    if _names_another(task, update):
        return Decision(task=task, verdict=Verdict.MISMATCHED)
    if task.status.is_final:
        return Decision(task=task, verdict=_after_the_end(task, update, change.via))
    if change.verdict is Verdict.UNCONFIRMED:
        return Decision(task=_known_to_run(task, update, change.now), verdict=Verdict.UNCONFIRMED)
    moved = _move(task, update, change.via, change.images, change.now)
    if moved == task and change.via is Via.CALLBACK:
        return Decision(task=task, verdict=Verdict.DUPLICATE)
    return Decision(task=moved, verdict=Verdict.APPLIED, events=_events(task, moved))


def _names_another(task: Task, update: Update) -> bool:
    return bool(task.provider_task_id and update.provider_task_id and task.provider_task_id != update.provider_task_id)


def _after_the_end(task: Task, update: Update, via: Via | None) -> Verdict:
    is_repeat = via is Via.CALLBACK and task.via is Via.CALLBACK and update.status is task.status
    return Verdict.DUPLICATE if is_repeat else Verdict.LATE


def _move(task: Task, update: Update, via: Via | None, images: tuple[Image, ...], now: datetime) -> Task:
    known = _accepted(task, update, now) if via else task  # what we end ourselves tells nothing of the provider
    if update.status.is_final:
        return msgspec.structs.replace(
            known, status=update.status, images=images, error=update.error, via=via, completed_at=now,
            progress=100 if update.status is TaskStatus.SUCCEEDED else known.progress,
        )
    is_processing = TaskStatus.PROCESSING in (task.status, update.status)
    return msgspec.structs.replace(
        known, status=TaskStatus.PROCESSING if is_processing else TaskStatus.SUBMITTED,
        progress=max((n for n in (task.progress, update.progress) if n is not None), default=None),
    )


def _known_to_run(task: Task, update: Update, now: datetime) -> Task:
    status = TaskStatus.SUBMITTED if task.status is TaskStatus.QUEUED else task.status
    return msgspec.structs.replace(_accepted(task, update, now), status=status)


def _accepted(task: Task, update: Update, now: datetime) -> Task:
    return msgspec.structs.replace(
        task,
        accepted=True,
        provider_task_id=task.provider_task_id or update.provider_task_id,
        submitted_at=task.submitted_at or now,
        cost=task.cost if update.cost is None else update.cost,
    )


def _events(before: Task, after: Task) -> tuple[EventType, ...]:
    if after.status is TaskStatus.SUCCEEDED:
        return (EventType.TASK_SUCCEEDED,)
    if after.status is TaskStatus.FAILED:
        return (EventType.TASK_FAILED,)
    submitted = (EventType.TASK_SUBMITTED,) if after.accepted and not before.accepted else ()
    progress = (EventType.TASK_PROGRESS,) if after.progress is not None and after.progress != before.progress else ()
    return submitted + progress
