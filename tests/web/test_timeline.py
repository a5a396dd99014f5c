"""The order in which a task's timeline tells what happened."""

from datetime import UTC, datetime, timedelta

from relay.model import (
    Attempt,
    Callback,
    Delivery,
    DeliveryStatus,
    ErrorCode,
    Event,
    EventType,
    Note,
    Task,
    TaskError,
    TaskStatus,
    Verdict,
    Via,
)
from relay.ports import Timeline
from relay.web.api.timeline import moments_of

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_everything_recorded_stands_in_order() -> None:
    task = Task(id="task_1", account_id="acc_1", provider="apiframe", status=TaskStatus.SUCCEEDED, via=Via.CALLBACK, created_at=at(0),
                submitted_at=at(2), completed_at=at(5))
    timeline = Timeline(
        task=task,
        notes=[Note(task_id="task_1", at=at(1), kind="submission_deferred", detail="no answer")],
        callbacks=[Callback(id="cbk_1", task_id="task_1", account_id="acc_1", provider="apiframe", verdict=Verdict.APPLIED, headers={},
                            body="", received_at=at(5))],
        events=[Event(id="evt_1", account_id="acc_1", type=EventType.TASK_SUCCEEDED, created_at=at(5), body=b"{}")],
        deliveries=[Delivery(id="dlv_1", account_id="acc_1", event_id="evt_1", event_type=EventType.TASK_SUCCEEDED, subscription_id="sub_1",
                             status=DeliveryStatus.DELIVERED, created_at=at(5))],
        attempts=[Attempt(id="att_1", delivery_id="dlv_1", number=1, started_at=at(6), duration_ms=12.4, error="no answer in time"),
                  Attempt(id="att_2", delivery_id="dlv_1", number=2, started_at=at(9), duration_ms=3.0, status_code=200)],
    )

    moments = moments_of(timeline)

    assert [(moment.kind, moment.detail) for moment in moments] == [
        ("created", "for apiframe"), ("submission_deferred", "no answer"), ("submitted", "sent to apiframe"),
        ("callback", "from apiframe: applied"), ("succeeded", "known by callback"), ("event", "task.succeeded"),
        ("delivery", "task.succeeded to sub_1: delivered"), ("attempt", "attempt 1 of dlv_1: no answer after 12 ms (no answer in time)"),
        ("attempt", "attempt 2 of dlv_1: answered 200 after 3 ms"),
    ]
    assert [moment.id for moment in moments] == ["task_1", None, "task_1", "cbk_1", "task_1", "evt_1", "dlv_1", "att_1", "att_2"]


def test_a_failed_task_says_why() -> None:
    error = TaskError(code=ErrorCode.MODERATED, message="not that")
    task = Task(id="task_1", account_id="acc_1", provider="kie", status=TaskStatus.FAILED, error=error, created_at=at(0),
                submitted_at=at(0), completed_at=at(1), watched=True)

    moments = moments_of(Timeline(task=task, notes=[], callbacks=[], events=[], deliveries=[], attempts=[]))

    assert [(moment.kind, moment.detail) for moment in moments] == [
        ("created", "watched: your app submits it"), ("failed", "moderated: not that")]
