"""How fast a subscription is sent to."""

from typing import Any

import pytest

from relay.delivery.pace import concurrency, interval, next_slowness
from tests.delivery.made import make_subscription


def after(*statuses: int | None, **given: Any) -> int:
    slowness = 0
    for status in statuses:
        is_success = status is not None and 200 <= status < 300
        slowness = next_slowness(make_subscription(slowness=slowness, **given), status, is_success=is_success)
    return slowness


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_that_says_too_much_slows_down(status: int) -> None:
    assert after(status) == 1
    assert after(status, status, status) == 3


@pytest.mark.parametrize("status", [None, 100, 301, 400, 404, 408, 410, 500, 501, 505])
def test_no_other_failure_changes_the_pace(status: int | None) -> None:
    assert after(status) == 0
    assert after(503, 503, status) == 2


def test_each_success_makes_up_for_one_until_all_is_normal() -> None:
    assert [after(503, 503, *[200] * successes) for successes in range(5)] == [2, 1, 0, 0, 0]


@pytest.mark.parametrize(("given", "slowness", "at_once", "seconds"), [
    ({}, 0, 8, 0.0), ({}, 1, 4, 0.02), ({}, 2, 2, 0.04), ({}, 3, 1, 0.08), ({}, 9, 1, 5.12), ({}, 10, 1, 10.0),
    ({"max_concurrent": 1}, 0, 1, 0.0), ({"max_concurrent": 1}, 3, 1, 0.08), ({"max_concurrent": 100}, 3, 12, 0.08),
    ({"rate_per_second": 2.0}, 0, 8, 0.5), ({"rate_per_second": 2.0}, 1, 4, 1.0), ({"rate_per_second": 2.0}, 3, 1, 4.0),
    ({"rate_per_second": 2.0}, 5, 1, 10.0), ({"rate_per_second": 0.01}, 0, 8, 100.0), ({"rate_per_second": 0.01}, 3, 1, 100.0),
    ({"ordered": True}, 0, 1, 0.0), ({"ordered": True, "max_concurrent": 9, "rate_per_second": 4.0}, 1, 1, 0.5),
])
def test_rate_and_concurrency_are_halved_together_down_to_the_slowest(
        given: dict[str, Any], slowness: int, at_once: int, seconds: float) -> None:
    subscription = make_subscription(slowness=slowness, **given)
    assert concurrency(subscription) == at_once
    assert interval(subscription) == pytest.approx(seconds)


@pytest.mark.parametrize(("given", "deepest"), [
    ({}, 10), ({"rate_per_second": 1000.0}, 14), ({"rate_per_second": 0.1, "max_concurrent": 1}, 0),
    ({"rate_per_second": 0.1}, 3), ({"rate_per_second": 0.1, "max_concurrent": 1000}, 9),
])
def test_it_slows_down_no_further_than_makes_a_difference(given: dict[str, Any], deepest: int) -> None:
    assert after(*[503] * 30, **given) == deepest
    slowest = make_subscription(slowness=deepest, **given)
    assert concurrency(slowest) == 1
    assert interval(slowest) == pytest.approx(10.0)
