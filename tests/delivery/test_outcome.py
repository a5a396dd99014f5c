"""What an attempt makes of its delivery."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.delivery.outcome import Tried, judge
from relay.model import DeliveryStatus, DisabledReason
from relay.ports import Settlement
from relay.retry import DEFAULT_SCHEDULE
from tests.delivery.made import NOW, make_attempt, make_job, make_subscription


def settle(status: int | None, *, number: int = 1, error: str | None = None, retry_after: float | None = None, manual: bool = False,
           jitter: float = 0.0, **subscription: Any) -> Settlement:
    tried = Tried(attempt=make_attempt(number=number, status_code=status, error=error),
                  retry_after=None if retry_after is None else timedelta(seconds=retry_after))
    job = make_job(make_subscription(**subscription), attempts=number - 1, manual=manual)
    return judge(tried, job, schedule=DEFAULT_SCHEDULE, now=NOW, jitter=jitter)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    settled = settle(status)
    assert (settled.status, settled.next_at, settled.disable) == (DeliveryStatus.DELIVERED, None, None)


@pytest.mark.parametrize("status", [None, 101, 199, 300, 301, 304, 307, 400, 401, 404, 408, 409, 429, 500, 503, 599, 999])
def test_everything_else_is_tried_again_on_the_schedule(status: int | None) -> None:
    settled = settle(status, number=2)
    assert (settled.status, settled.next_at, settled.disable) == (DeliveryStatus.PENDING, NOW + timedelta(minutes=5), None)


def test_half_an_answer_is_a_failure_whatever_its_status() -> None:
    assert settle(200, error="the connection was closed in the middle of the answer").status is DeliveryStatus.PENDING


def test_the_end_of_the_schedule_exhausts_it() -> None:
    assert settle(500, number=9).status is DeliveryStatus.PENDING
    assert settle(500, number=10).status is DeliveryStatus.EXHAUSTED


@pytest.mark.parametrize("number", [10, 11, 50])
def test_a_manual_attempt_behind_the_end_is_exhausted_again_or_delivered(number: int) -> None:
    assert settle(500, number=number, manual=True).status is DeliveryStatus.EXHAUSTED
    assert settle(200, number=number, manual=True).status is DeliveryStatus.DELIVERED


def test_a_subscription_may_have_a_schedule_of_its_own() -> None:
    assert settle(500, number=1, retry_schedule=(0.0, 77.0)).next_at == NOW + timedelta(seconds=77)
    assert settle(500, number=2, retry_schedule=(0.0, 77.0)).status is DeliveryStatus.EXHAUSTED


def test_410_disables_the_subscription_at_once_and_keeps_the_delivery() -> None:
    settled = settle(410)
    assert (settled.status, settled.disable) == (DeliveryStatus.PENDING, DisabledReason.GONE)


def test_410_on_a_tasks_own_callback_ends_the_delivery_and_disables_nothing() -> None:
    settled = settle(410, task_id="task_1")
    assert (settled.status, settled.next_at, settled.disable) == (DeliveryStatus.EXHAUSTED, None, None)


@pytest.mark.parametrize(("age", "disable"), [
    (timedelta(days=5), DisabledReason.FAILING), (timedelta(days=9), DisabledReason.FAILING),
    (timedelta(days=5) - timedelta(seconds=1), None), (timedelta(0), None),
])
def test_five_days_of_failures_disable_the_subscription(age: timedelta, disable: DisabledReason | None) -> None:
    assert settle(500, failing_since=NOW - age).disable is disable


def test_five_days_of_failures_do_not_disable_at_a_success_nor_a_tasks_own_callback() -> None:
    assert settle(200, failing_since=NOW - timedelta(days=9)).disable is None
    assert settle(500, failing_since=NOW - timedelta(days=9), task_id="task_1").disable is None


@pytest.mark.parametrize("status", [400, 429, 500, 503, 302])
def test_what_the_receiver_asks_for_is_obeyed_with_any_failure(status: int) -> None:
    assert settle(status, retry_after=3600).next_at == NOW + timedelta(hours=1)


def test_the_receiver_cannot_shorten_the_schedule() -> None:
    assert settle(503, number=2, retry_after=1).next_at == NOW + timedelta(minutes=5)


@settings(deadline=None)
@given(status=st.none() | st.integers(100, 999), number=st.integers(1, 60), jitter=st.floats(-1, 1),
       retry_after=st.none() | st.floats(0, 1e6), owned=st.booleans())
def test_every_attempt_ends_in_one_of_three_states(
    status: int | None, number: int, jitter: float, retry_after: float | None, *, owned: bool,
) -> None:
    settled = settle(status, number=number, jitter=jitter, retry_after=retry_after, task_id="task_1" if owned else None)
    assert settled.status in (DeliveryStatus.DELIVERED, DeliveryStatus.PENDING, DeliveryStatus.EXHAUSTED)
    assert (settled.next_at is not None) is (settled.status is DeliveryStatus.PENDING)
    assert settled.next_at is None or settled.next_at >= NOW
