"""When providers are asked."""

from hypothesis import given
from hypothesis import strategies as st

from relay.tasks.clock import PollClock

ages = st.floats(0, 3600)
jitters = st.floats(-1, 1)


def test_nothing_is_asked_before_most_of_the_usual_time_has_passed() -> None:
    clock = PollClock(reconcile_after=60)
    for _ in range(100):
        clock.learn(10.0)
    assert 7.5 < clock.wait_for_poll(0.0, 0.0).total_seconds() < 8.5


def test_around_the_usual_time_it_asks_briskly_and_later_more_slowly() -> None:
    clock = PollClock(reconcile_after=60)
    for _ in range(100):
        clock.learn(10.0)
    waits = [clock.wait_for_poll(age, 0.0).total_seconds() for age in (9.0, 30.0, 60.0, 600.0)]
    assert waits == sorted(waits)
    assert waits[0] < 1.5
    assert waits[-1] == 15.0


@given(age=ages, jitter=jitters)
def test_a_wait_is_never_shorter_than_a_third_of_a_second_nor_longer_than_eighteen(age: float, jitter: float) -> None:
    assert 0.3 <= PollClock(reconcile_after=60).wait_for_poll(age, jitter).total_seconds() <= 18.0


@given(jitter=jitters)
def test_a_late_callback_is_asked_about_within_the_span_and_not_much_before(jitter: float) -> None:
    assert 48.0 <= PollClock(reconcile_after=60).wait_for_callback(jitter).total_seconds() <= 60.0


def test_jitter_spreads_tasks_that_were_submitted_together() -> None:
    clock = PollClock(reconcile_after=60)
    assert clock.wait_for_poll(0.0, -1.0) < clock.wait_for_poll(0.0, 0.0) < clock.wait_for_poll(0.0, 1.0)
