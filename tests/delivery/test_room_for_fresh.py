"""For which fresh deliveries the lanes have room that no claim has looked at."""

from typing import Any

import pytest

from relay.delivery.lanes import Lanes
from relay.delivery.outcome import Tried
from relay.model import Subscription
from tests.delivery.made import make_attempt, make_job, make_subscription


class Places:
    """The lanes of a worker, filled by hand."""

    def __init__(self, places: int) -> None:
        self.lanes = Lanes(places)

    def begin(self, subscription: Subscription) -> None:
        assert self.lanes.begin(make_job(subscription), 0.0)

    def succeed(self, subscription: Subscription) -> None:
        place = self.lanes.begin(make_job(subscription), 0.0)
        assert place
        place.lane.learn(Tried(attempt=make_attempt(status_code=200, duration_ms=100.0)), None)
        self.lanes.leave(place)


def test_a_subscription_that_nobody_knows_is_claimed_and_the_first_of_a_callback_url_is_not() -> None:
    lanes = Lanes(16)
    assert lanes.room_for_fresh(make_subscription()) == 0
    assert lanes.room_for_fresh(make_subscription(task_id="task_1")) == 1


def test_callback_urls_that_have_not_answered_leave_room_for_those_that_have() -> None:
    places = Places(16)
    places.succeed(quick := make_subscription())
    for number in range(14):
        places.begin(make_subscription(task_id=f"task_{number}"))
    assert places.lanes.room_for_fresh(make_subscription(task_id="task_x")) == 0
    assert places.lanes.begin(make_job(make_subscription(task_id="task_x")), 0.0) is None
    assert places.lanes.room_for_fresh(quick) > 0


@pytest.mark.parametrize("given", [{"rate_per_second": 5.0}, {"ordered": True}, {"slowness": 1}], ids=["paced", "ordered", "slowed down"])
def test_what_is_paced_ordered_or_slowed_down_is_claimed(given: dict[str, Any]) -> None:
    places = Places(16)
    places.succeed(subscription := make_subscription(**given))
    assert places.lanes.room_for_fresh(subscription) == 0
