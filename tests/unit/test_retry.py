"""When to try again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.retry import DEFAULT_SCHEDULE, LONGEST_RETRY_AFTER, next_attempt_at, read_retry_after

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
jitters = st.floats(-1, 1)


def seconds_until(schedule: tuple[float, ...], made: int, *, retry_after: float | None = None, jitter: float = 0) -> float:
    asked = None if retry_after is None else timedelta(seconds=retry_after)
    at = next_attempt_at(schedule, made, NOW, retry_after=asked, jitter=jitter)
    assert at is not None
    return (at - NOW).total_seconds()


def test_the_default_schedule_has_ten_attempts_over_three_days() -> None:
    waits = [seconds_until(DEFAULT_SCHEDULE, made) for made in range(10)]
    assert waits == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert next_attempt_at(DEFAULT_SCHEDULE, 10, NOW, jitter=0) is None


@pytest.mark.parametrize("made", [2, 3, 99])
def test_a_schedule_has_as_many_attempts_as_entries(made: int) -> None:
    assert next_attempt_at((0, 1), made, NOW, jitter=0) is None


@settings(deadline=None)
@given(jitters)
def test_jitter_moves_an_attempt_by_a_fifth_at_most(jitter: float) -> None:
    assert 80 <= seconds_until((0, 100), 1, jitter=jitter) <= 120


def test_jitter_goes_both_ways() -> None:
    assert seconds_until((0, 100), 1, jitter=-1) == 80
    assert seconds_until((0, 100), 1, jitter=1) == 120


@settings(deadline=None)
@given(jitters, st.floats(0, 86400))
def test_jitter_never_brings_an_attempt_before_what_the_receiver_asked_for(jitter: float, asked: float) -> None:
    assert seconds_until((0, 100), 1, retry_after=asked, jitter=jitter) >= round(asked, 6)


@settings(deadline=None)
@given(jitters, st.floats(0, 200_000))
def test_the_receiver_never_shortens_the_schedule(jitter: float, asked: float) -> None:
    assert seconds_until((0, 100), 1, retry_after=asked, jitter=jitter) >= seconds_until((0, 100), 1, jitter=jitter)


def test_the_receiver_is_obeyed_for_a_day_at_most() -> None:
    assert seconds_until((0, 100), 1, retry_after=3600) == 3600
    assert seconds_until((0, 100), 1, retry_after=10 * 86400) == 86400


def test_the_receiver_does_not_prolong_an_exhausted_schedule() -> None:
    assert next_attempt_at((0,), 1, NOW, retry_after=timedelta(seconds=1), jitter=0) is None


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e300), max_size=3), jitters)
def test_any_schedule_gives_a_date(schedule: list[float], jitter: float) -> None:
    at = next_attempt_at(schedule, 0, NOW, jitter=jitter)
    assert at is None if not schedule else at is not None and at >= NOW


@pytest.mark.parametrize(("value", "seconds"), [
    ("0", 0), ("120", 120), (" 7 ", 7), ("1.5", 1.5), ("86401", 86400), ("9" * 5000, 86400),
    (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300),
    ("Friday, 20-Nov-26 12:05:00 GMT", 300), ("Fri Nov 20 12:05:00 2026", 300), ("Fri, 20 Nov 2026 13:05:00 +0100", 300),
    (format_datetime(NOW + timedelta(days=30), usegmt=True), 86400),
])
def test_both_forms_of_retry_after_are_read(value: str, seconds: float) -> None:
    assert read_retry_after(value, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", [
    None, "", " ", "soon", "-5", "+5", "1e3", "0x10", "inf", "nan", "\u0663", "12 s", "Fri, 99 Nov 2026 99:99:99 GMT",
    "Fri, 20 Nov 99999 12:00:00 GMT", format_datetime(NOW - timedelta(seconds=1), usegmt=True),
])
def test_what_cannot_be_read_or_has_passed_asks_for_nothing(value: str | None) -> None:
    assert read_retry_after(value, NOW) is None


@settings(deadline=None)
@given(st.text(max_size=60))
def test_garbage_is_never_more_than_ignored(value: str) -> None:
    asked = read_retry_after(value, NOW)
    assert asked is None or timedelta(0) <= asked <= LONGEST_RETRY_AFTER
