"""Everything that happened to a task, in order: its own times, notes, callbacks, events, deliveries, attempts."""

from collections.abc import Iterator

from msgspec import Struct
from starlette.responses import Response

from relay.errors import NotFound
from relay.model import Attempt, Scope, Task
from relay.ports import Timeline
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.shapes import Moment


class Moments(Struct, frozen=True):
    """Oldest first, in one page."""

    data: list[Moment]
    next_cursor: None = None


async def show_timeline(call: Call[NoQuery, NoBody]) -> Response:
    timeline = await call.web.store.timeline(call.account_id, call.id_of("task_id"))
    if timeline is None:
        raise NotFound
    return answer_json(Moments(data=moments_of(timeline)))


def moments_of(timeline: Timeline) -> list[Moment]:
    """Oldest first. What bears the same time stands in the order in which one thing leads to the next."""
    return sorted(_moments(timeline), key=lambda moment: moment.at)


def _moments(timeline: Timeline) -> Iterator[Moment]:
    yield from _beginning(timeline.task)
    yield from (Moment(at=note.at, kind=note.kind, detail=note.detail, id=None) for note in timeline.notes)
    for callback in timeline.callbacks:
        yield Moment(at=callback.received_at, kind="callback", detail=f"from {callback.provider}: {callback.verdict}", id=callback.id)
    yield from _end(timeline.task)
    for event in timeline.events:
        yield Moment(at=event.created_at, kind="event", detail=event.type, id=event.id)
    for delivery in timeline.deliveries:
        detail = f"{delivery.event_type} to {delivery.subscription_id}: {delivery.status}"
        yield Moment(at=delivery.created_at, kind="delivery", detail=detail, id=delivery.id)
    for attempt in timeline.attempts:
        yield Moment(at=attempt.started_at, kind="attempt", detail=_outcome(attempt), id=attempt.id)


def _beginning(task: Task) -> Iterator[Moment]:
    told = "watched: your app submits it" if task.watched else f"for {task.provider}"
    yield Moment(at=task.created_at, kind="created", detail=told, id=task.id)
    if task.submitted_at is not None and not task.watched:
        yield Moment(at=task.submitted_at, kind="submitted", detail=f"sent to {task.provider}", id=task.id)


def _end(task: Task) -> Iterator[Moment]:
    if task.completed_at is None:
        return
    detail = f"{task.error.code}: {task.error.message}" if task.error else f"known by {task.via}"
    yield Moment(at=task.completed_at, kind=task.status, detail=detail, id=task.id)


def _outcome(attempt: Attempt) -> str:
    told = f"answered {attempt.status_code}" if attempt.status_code is not None else "no answer"
    why = f" ({attempt.error})" if attempt.error else ""
    return f"attempt {attempt.number} of {attempt.delivery_id}: {told} after {attempt.duration_ms:.0f} ms{why}"


OPERATIONS = (
    Operation(
        method="GET", path="/api/v1/tasks/{task_id}/timeline", id="showTimeline", tag="Tasks", summary="What happened to a task",
        handle=show_timeline,
        description="`kind`: created, submitted, succeeded, failed, callback, event, delivery, attempt, or a step on the way.",
        needs=Scope.READ, problems=(NotFound,), answers={200: Answer(means="All of it, oldest first.", shape=Moments)},
    ),
)
