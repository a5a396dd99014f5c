"""Structs as rows and back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model import ErrorCode, Event, EventType, Image, Task, TaskError, TaskStatus, Via
from relay.stores.row import event_row, micros, moment, read_event, read_task, task_row
from tests.stores.making import NOW

_TIMES = st.datetimes(timezones=st.just(UTC))


@given(_TIMES)
def test_a_time_comes_back_to_the_microsecond(at: datetime) -> None:
    assert moment(micros(at)) == at


@given(_TIMES, st.integers(0, 10**9))
def test_stored_times_are_as_far_apart_as_the_times(at: datetime, span: int) -> None:
    later = min(at, datetime(9000, 1, 1, tzinfo=UTC)) + timedelta(microseconds=span)
    assert micros(later) - micros(at) == (later - at) // timedelta(microseconds=1)


@pytest.mark.parametrize("given", [
    {},
    {"input": {"width": 1024, "options": {}}, "metadata": {"order": "A-17"}},
    {"input": {"image": None}, "metadata": {"": 0}},
    {"images": (Image(id="img_1"), Image(id="img_2", source_url="https://p.example/1.png", kept=True, size_bytes=1))},
    {"error": TaskError(code=ErrorCode.MODERATED, message="no"), "via": Via.POLL, "cost": 0.0, "progress": 0},
    *({"status": status} for status in TaskStatus),
], ids=str)
def test_a_task_comes_back_as_it_was(given: dict[str, Any]) -> None:
    task = Task(id="task_1", account_id="acc_1", provider="kie", created_at=NOW, **given)
    assert read_task(task_row(task)) == task


@pytest.mark.parametrize("given", [{}, {"metadata": {"rush": True}}, *({"type": kind} for kind in EventType)], ids=str)
def test_an_event_comes_back_as_it_was(given: dict[str, Any]) -> None:
    event = Event(**{"id": "evt_1", "account_id": "acc_1", "type": EventType.PING, "created_at": NOW, "body": b"{}", **given})
    assert read_event(event_row(event)) == event


def test_a_row_holds_plain_values_only() -> None:
    """A database's library looks twice at any other."""
    task = task_row(Task(id="task_1", account_id="acc_1", provider="kie", created_at=NOW, via=Via.CALLBACK))
    event = event_row(Event(id="evt_1", account_id="acc_1", type=EventType.PING, created_at=NOW, body=b"{}"))
    kinds = {type(value) for row in (task, event) for value in row.values()}
    assert kinds <= {str, int, float, bool, bytes, type(None)}
