"""What a change makes of a task."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.lifecycle import Decision, decide
from relay.model import Change, ErrorCode, EventType, Image, Task, TaskError, TaskStatus, Update, Verdict, Via

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUEUED, SUBMITTED, PROCESSING, SUCCEEDED, FAILED = TaskStatus
FAULT = TaskError(code=ErrorCode.MODERATED, message="no")
IMAGE = Image(id="img_1", source_url="https://cdn.example/1.png")


def a_task(status: TaskStatus = QUEUED, **fields: Any) -> Task:
    return Task(id="task_1", account_id="acc_1", provider="kie", status=status, created_at=NOW, **fields)


def apply(task: Task, status: TaskStatus, *, via: Via = Via.CALLBACK, images: tuple[Image, ...] = (), **update: Any) -> Decision:
    return decide(task, Change(task_id=task.id, via=via, now=NOW, images=images, update=Update(status=status, **update)))


def test_an_accepted_submission_is_submitted_and_told() -> None:
    decision = apply(a_task(SUBMITTED), SUBMITTED, via=Via.RESPONSE, provider_task_id="p-1")
    task = decision.task
    assert (task.status, task.accepted, task.provider_task_id, task.submitted_at) == (SUBMITTED, True, "p-1", NOW)
    assert (decision.verdict, decision.events) == (Verdict.APPLIED, (EventType.TASK_SUBMITTED,))


def test_a_success_brings_its_pictures_and_its_way() -> None:
    decision = apply(a_task(PROCESSING, accepted=True, progress=40), SUCCEEDED, via=Via.POLL, images=(IMAGE,), cost=0.04)
    task = decision.task
    assert (task.status, task.images, task.via, task.completed_at) == (SUCCEEDED, (IMAGE,), Via.POLL, NOW)
    assert (task.progress, task.cost) == (100, 0.04)
    assert decision.events == (EventType.TASK_SUCCEEDED,)


def test_a_failure_brings_its_reason_and_keeps_its_progress() -> None:
    decision = apply(a_task(PROCESSING, accepted=True, progress=40), FAILED, error=FAULT)
    assert (decision.task.status, decision.task.error, decision.task.progress) == (FAILED, FAULT, 40)
    assert decision.events == (EventType.TASK_FAILED,)


def test_the_end_can_come_before_the_submit_answer() -> None:
    ended = apply(a_task(SUBMITTED), SUCCEEDED, images=(IMAGE,), provider_task_id="p-1")
    assert (ended.task.status, ended.task.provider_task_id, ended.events) == (SUCCEEDED, "p-1", (EventType.TASK_SUCCEEDED,))
    answer = apply(ended.task, SUBMITTED, via=Via.RESPONSE, provider_task_id="p-1")
    assert (answer.verdict, answer.task, answer.events) == (Verdict.LATE, ended.task, ())


def test_progress_is_told_and_never_runs_backwards() -> None:
    first = apply(a_task(SUBMITTED, accepted=True), PROCESSING, progress=50)
    assert (first.task.progress, first.events) == (50, (EventType.TASK_PROGRESS,))
    second = apply(first.task, PROCESSING, progress=20)
    assert (second.task, second.verdict, second.events) == (first.task, Verdict.DUPLICATE, ())


def test_processing_does_not_fall_back_to_submitted() -> None:
    assert apply(a_task(PROCESSING, accepted=True), SUBMITTED, via=Via.POLL).task.status is PROCESSING


@pytest.mark.parametrize(("came", "via", "verdict"), [
    (SUCCEEDED, Via.CALLBACK, Verdict.DUPLICATE), (FAILED, Via.CALLBACK, Verdict.LATE), (PROCESSING, Via.CALLBACK, Verdict.LATE),
    (SUCCEEDED, Via.POLL, Verdict.LATE),
])
def test_what_comes_after_the_end_is_named_and_changes_nothing(came: TaskStatus, via: Via, verdict: Verdict) -> None:
    ended = a_task(SUCCEEDED, accepted=True, images=(IMAGE,), via=Via.CALLBACK, completed_at=NOW)
    decision = apply(ended, came, via=via, error=FAULT if came is FAILED else None)
    assert (decision.verdict, decision.task, decision.events) == (verdict, ended, ())
    assert not decision.asks_provider


def test_a_callback_after_a_poll_has_brought_the_end_is_late() -> None:
    ended = a_task(SUCCEEDED, accepted=True, via=Via.POLL, completed_at=NOW)
    assert apply(ended, SUCCEEDED).verdict is Verdict.LATE


def test_a_callback_for_another_provider_task_changes_nothing_and_asks() -> None:
    task = a_task(SUBMITTED, accepted=True, provider_task_id="p-1")
    decision = apply(task, SUCCEEDED, provider_task_id="p-2", images=(IMAGE,))
    assert (decision.verdict, decision.task, decision.events) == (Verdict.MISMATCHED, task, ())
    assert decision.asks_provider


@pytest.mark.parametrize("verdict", [Verdict.UNREADABLE, Verdict.UNCONFIRMED])
def test_a_callback_that_cannot_be_believed_changes_nothing_and_asks(verdict: Verdict) -> None:
    change = Change(task_id="task_1", via=Via.CALLBACK, now=NOW, verdict=verdict)
    open_task, ended = a_task(SUBMITTED, accepted=True), a_task(FAILED, accepted=True, error=FAULT, completed_at=NOW)
    assert decide(open_task, change) == Decision(task=open_task, verdict=verdict)
    assert decide(open_task, change).asks_provider
    assert not decide(ended, change).asks_provider


def test_the_first_submission_time_and_cost_stay() -> None:
    task = a_task(SUBMITTED, accepted=True, submitted_at=NOW - timedelta(minutes=1), cost=0.05)
    moved = apply(task, SUCCEEDED).task
    assert (moved.submitted_at, moved.cost) == (NOW - timedelta(minutes=1), 0.05)


updates = st.builds(
    Update, status=st.sampled_from([SUBMITTED, PROCESSING, SUCCEEDED, FAILED]), provider_task_id=st.sampled_from([None, "p-1", "p-2"]),
    progress=st.none() | st.integers(0, 100), error=st.none() | st.just(FAULT), cost=st.none() | st.just(0.04))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Via)), st.none() | updates), max_size=12))
def test_however_updates_come_there_is_one_end_and_no_step_back(steps: list[tuple[Via, Update | None]]) -> None:
    order = [QUEUED, SUBMITTED, PROCESSING, SUCCEEDED]
    task, told = a_task(SUBMITTED), list[EventType]()
    for via, update in steps:
        decision = decide(task, Change(task_id=task.id, via=via, now=NOW, update=update))
        if task.status.is_final or decision.verdict is not Verdict.APPLIED:
            assert (decision.task, decision.events) == (task, ())
        elif decision.task.status is not FAILED:
            assert order.index(decision.task.status) >= order.index(task.status)
            assert (decision.task.progress or 0) >= (task.progress or 0)
        told += decision.events
        task = decision.task
    ends = [kind for kind in told if kind in (EventType.TASK_SUCCEEDED, EventType.TASK_FAILED)]
    assert len(ends) == int(task.status.is_final)
    assert told.count(EventType.TASK_SUBMITTED) <= 1
    assert task.provider_task_id is None or {update.provider_task_id for _, update in steps if update} >= {task.provider_task_id}


def test_deciding_leaves_the_task_that_was_given_alone() -> None:
    task = a_task(SUBMITTED)
    before = msgspec.json.encode(task)
    apply(task, SUCCEEDED, images=(IMAGE,))
    assert msgspec.json.encode(task) == before


def test_an_unconfirmed_callback_shows_that_a_queued_task_was_sent_after_all() -> None:
    change = Change(task_id="task_1", via=Via.CALLBACK, now=NOW, update=Update(status=SUCCEEDED, provider_task_id="p-1"),
                    verdict=Verdict.UNCONFIRMED)
    decision = decide(a_task(QUEUED), change)
    assert (decision.verdict, decision.task.status, decision.task.provider_task_id) == (Verdict.UNCONFIRMED, SUBMITTED, "p-1")
    assert decision.asks_provider
