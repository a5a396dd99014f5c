"""Places for attempts: who may begin."""

from typing import Any

import pytest
from msgspec.structs import replace

from relay.delivery.lanes import SLOW_SECONDS, Lanes, Place
from relay.delivery.outcome import Tried
from relay.model import Subscription
from relay.ports import Job
from tests.delivery.made import NOW, make_attempt, make_job, make_subscription

ONE, OTHER = make_subscription(id="sub_1"), make_subscription(id="sub_2")


def job(subscription: Subscription = ONE) -> Job:
    return make_job(subscription)


def begun(lanes: Lanes, subscription: Subscription = ONE, *, now: float = 0.0) -> Place:
    place = lanes.begin(job(subscription), now)
    assert place is not None
    return place


def number_begun(lanes: Lanes, subscription: Subscription = ONE, *, now: float = 0.0) -> int:
    """How many begin before no more can."""
    number = 0
    while lanes.begin(job(subscription), now):
        number += 1
    return number


def end(lanes: Lanes, place: Place, *, status: int | None = 200, seconds: float = 0.1, slowness: int | None = None) -> None:
    place.lane.learn(Tried(attempt=make_attempt(status_code=status, duration_ms=seconds * 1000)), slowness)
    lanes.leave(place)


def widened(lanes: Lanes, subscription: Subscription = ONE, *, seconds: float = 0.1) -> None:
    """A lane with so many successes that it is as wide as it can be."""
    for _ in range(10):
        end(lanes, begun(lanes, subscription), seconds=seconds)


def crowd(number: int, **given: Any) -> list[Subscription]:
    return [make_subscription(**given) for _ in range(number)]


@pytest.mark.parametrize(("successes", "at_once"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 8), (20, 8)])
def test_a_lane_is_wider_with_each_success_up_to_its_limit(successes: int, at_once: int) -> None:
    lanes = Lanes(512)
    for _ in range(successes):
        end(lanes, begun(lanes))
    assert number_begun(lanes) == at_once
    assert number_begun(lanes, OTHER) == 1


@pytest.mark.parametrize(("given", "at_once"), [({"max_concurrent": 3}, 3), ({"max_concurrent": 40}, 40), ({"ordered": True}, 1)])
def test_the_limit_of_a_lane_is_its_owners(given: dict[str, Any], at_once: int) -> None:
    lanes, subscription = Lanes(512), make_subscription(**given)
    widened(lanes, subscription)
    assert number_begun(lanes, subscription) == at_once


def test_a_lane_follows_what_its_owner_changes() -> None:
    lanes = Lanes(512)
    widened(lanes)
    assert number_begun(lanes, make_subscription(id="sub_1", max_concurrent=2)) == 2


def test_a_rate_spaces_the_beginnings() -> None:
    lanes, paced = Lanes(512), make_subscription(rate_per_second=4.0)
    widened(lanes, make_subscription(id=paced.id))
    place = begun(lanes, paced, now=10.0)
    assert lanes.begin(job(paced), 10.2) is None
    end(lanes, place)
    assert lanes.begin(job(paced), 10.2) is None
    assert (lanes.rooms(10.2), lanes.opens_at(10.2)) == ({paced.id: 0}, 10.25)
    assert lanes.begin(job(paced), 10.25)


def test_a_lane_that_is_slowed_down_is_narrow_and_paced_and_widens_again() -> None:
    lanes = Lanes(512)
    widened(lanes)
    end(lanes, begun(lanes), status=503, slowness=1)
    assert number_begun(lanes, now=1.0) == 1
    assert lanes.opens_at(1.0) == pytest.approx(1.02)
    end(lanes, begun(lanes, now=2.0), slowness=0)
    assert number_begun(lanes, now=2.0) == 7


def test_a_success_shortens_the_wait_that_was_begun_before() -> None:
    lanes, slowed = Lanes(512), make_subscription(slowness=10)
    end(lanes, begun(lanes, slowed, now=100.0), slowness=9)
    assert lanes.opens_at(100.0) == pytest.approx(105.12)

def test_the_slowness_in_the_store_holds_for_a_lane_that_is_new() -> None:
    lanes, slowed = Lanes(512), make_subscription(slowness=10)
    place = begun(lanes, slowed)
    assert place.as_seen(job(slowed)).subscription.slowness == 10
    assert lanes.opens_at(0.0) == pytest.approx(10.0)


def test_what_we_know_of_slowness_is_newer_than_what_the_store_knew() -> None:
    lanes = Lanes(512)
    end(lanes, begun(lanes), status=503, slowness=1)
    assert begun(lanes, now=1.0).as_seen(job()).subscription.slowness == 1


def test_one_that_stopped_answering_begins_again_with_one() -> None:
    lanes = Lanes(512)
    widened(lanes)
    end(lanes, begun(lanes), status=None, seconds=20.0)
    assert number_begun(lanes) == 1


def test_one_that_answers_slowly_but_well_keeps_its_width() -> None:
    lanes = Lanes(512)
    for _ in range(4):
        end(lanes, begun(lanes), seconds=3.0)
    assert number_begun(lanes) == 8


def test_a_quarter_of_all_places_is_kept_for_lanes_that_have_none() -> None:
    lanes, wide = Lanes(16), make_subscription(max_concurrent=100)
    widened(lanes, wide)
    assert number_begun(lanes, wide) == 12
    assert [number_begun(lanes, each) for each in crowd(5)] == [1, 1, 1, 1, 0]
    assert lanes.free == 0


def test_those_that_were_failing_have_half_of_the_places_until_they_show_that_they_are_well() -> None:
    lanes, failing = Lanes(16), crowd(20, failing_since=NOW)
    places = [place for each in failing if (place := lanes.begin(job(each), 0.0))]
    assert len(places) == 8
    assert set(lanes.rooms(0.0).values()) == {0}
    assert number_begun(lanes, make_subscription()) == 1
    end(lanes, places[0])
    assert number_begun(lanes, failing[0]) == 2
    assert number_begun(lanes, failing[10]) == 1
    assert number_begun(lanes, failing[11]) == 0


def test_half_the_places_of_the_slow_are_kept_for_those_that_have_none() -> None:
    lanes, slow = Lanes(32), crowd(10, max_concurrent=30)
    for each in slow:
        for _ in range(6):
            end(lanes, begun(lanes, each), seconds=3.0)
    assert [number_begun(lanes, each) for each in slow] == [8, 1, 1, 1, 1, 1, 1, 1, 1, 0]


def test_an_attempt_that_goes_on_for_long_counts_as_slow_and_so_does_its_lane() -> None:
    lanes, hanging = Lanes(16), crowd(12)
    for each in hanging:
        begun(lanes, each)
    late = SLOW_SECONDS + 0.1
    assert lanes.rooms(late) == dict.fromkeys((each.id for each in hanging), 0)
    assert number_begun(lanes, make_subscription(failing_since=NOW), now=late) == 0
    assert number_begun(lanes, now=late) == 1


def test_lanes_that_have_not_answered_yet_leave_an_eighth_of_the_places_to_those_that_have() -> None:
    lanes, strangers = Lanes(16), crowd(20)
    widened(lanes)
    places = [place for each in strangers if (place := lanes.begin(job(each), 0.0))]
    assert len(places) == 14
    assert [lanes.rooms(0.0)[each.id] for each in strangers[14:]] == [0] * 6
    assert number_begun(lanes, strangers[14]) == 0
    end(lanes, begun(lanes))
    end(lanes, places[0])
    assert number_begun(lanes, strangers[14]) == 1


def test_however_many_hang_a_quick_one_finds_a_place() -> None:
    lanes = Lanes(16)
    widened(lanes)
    for each in crowd(200, failing_since=NOW):
        lanes.begin(job(each), 0.0)
    for now in (0.0, 5.0, 19.0):
        end(lanes, begun(lanes, now=now))


def test_a_wide_lane_has_a_line_for_five_seconds_and_the_first_in_line_begins_when_there_is_a_place() -> None:
    lanes = Lanes(512)
    widened(lanes, seconds=1.0)
    places = [begun(lanes) for _ in range(8)]
    waiting = [job() for _ in range(41)]
    assert lanes.rooms(0.0) == {"sub_1": 40}
    assert [lanes.wait(each) for each in waiting] == [True] * 40 + [False]
    assert lanes.rooms(0.0) == {"sub_1": 0}
    assert lanes.follow("sub_1", 0.0) is None
    end(lanes, places[0])
    following = lanes.follow("sub_1", 0.0)
    assert following is not None
    assert following[0] == waiting[0]
    assert lanes.follow("sub_1", 0.0) is None


@pytest.mark.parametrize("given", [{"ordered": True}, {"rate_per_second": 500.0}], ids=["ordered", "paced"])
def test_nobody_stands_in_line_where_each_has_its_time(given: dict[str, Any]) -> None:
    lanes, subscription = Lanes(512), make_subscription(**given)
    for now in range(10):
        end(lanes, begun(lanes, subscription, now=now))
    begun(lanes, subscription, now=20.0)
    assert not lanes.wait(job(subscription))


def test_nobody_stands_in_line_where_nothing_is_under_way_or_nothing_was_heard_yet() -> None:
    lanes = Lanes(512)
    assert not lanes.wait(job())
    begun(lanes)
    assert not lanes.wait(job())


def test_all_lines_together_are_bounded() -> None:
    lanes = Lanes(512)
    for each in crowd(150):
        widened(lanes, each)
        begun(lanes, each)
        while lanes.wait(job(each)):
            pass
    assert len(lanes.empty_all()) == 4096


def test_what_stands_in_line_is_bounded_in_bytes_too_and_there_is_room_again_once_it_is_gone() -> None:
    lanes = Lanes(512)
    widened(lanes)
    place = begun(lanes)
    long = job()
    long = replace(long, event=replace(long.event, body=bytes(7 * 256 * 1024)))
    assert [lanes.wait(long) for _ in range(4)] == [True, True, True, False]
    assert lanes.rooms(0.0) == {"sub_1": 7}
    end(lanes, place)
    assert lanes.follow("sub_1", 0.0) is not None
    assert lanes.wait(long)
    lanes.empty_all()
    assert lanes.wait(job())


def test_who_stands_in_line_can_be_sent_away() -> None:
    lanes = Lanes(512)
    widened(lanes)
    place, waiting = begun(lanes), [job(), job()]
    assert all(lanes.wait(each) for each in waiting)
    assert lanes.empty_stranded("sub_1") == []
    lanes.leave(place)
    assert lanes.empty_stranded("sub_1") == waiting
    assert lanes.follow("sub_1", 0.0) is None
    assert (lanes.empty("sub_1"), lanes.empty("sub_2"), lanes.free) == ([], [], 512)


def test_the_oldest_of_very_many_lanes_are_forgotten() -> None:
    lanes = Lanes(512)
    widened(lanes)
    for each in crowd(5000):
        end(lanes, begun(lanes, each))
    assert number_begun(lanes) == 1
