"""Places for attempts."""

from relay.delivery.lanes import Lanes
from relay.ports import Job
from tests.delivery.made import make_job, make_subscription

ONE, OTHER = make_subscription(id="sub_1"), make_subscription(id="sub_2")


def job() -> Job:
    return make_job(ONE)


def test_a_subscription_has_only_so_many_places() -> None:
    lanes = Lanes(concurrency=10, per_subscription=2)
    assert [lanes.begin("sub_1") for _ in range(3)] == [True, True, False]
    assert lanes.begin("sub_2")
    assert (lanes.full(), lanes.free) == (["sub_1"], 7)


def test_all_together_have_only_so_many_places() -> None:
    lanes = Lanes(concurrency=2, per_subscription=2)
    assert lanes.begin("sub_1")
    assert lanes.begin("sub_2")
    assert not lanes.begin("sub_3")
    assert lanes.free == 0


def test_who_waits_takes_over_a_place_in_turn_and_then_it_is_free() -> None:
    lanes = Lanes(concurrency=10, per_subscription=1)
    first, second = job(), job()
    assert lanes.begin("sub_1")
    assert lanes.wait(first)
    assert not lanes.wait(second)
    assert lanes.follow("sub_1") == first
    assert lanes.full() == ["sub_1"]
    assert lanes.wait(second)
    assert lanes.follow("sub_1") == second
    assert lanes.follow("sub_1") is None
    assert (lanes.full(), lanes.free) == ([], 10)


def test_nobody_waits_where_nothing_is_under_way() -> None:
    assert not Lanes(concurrency=1, per_subscription=1).wait(job())


def test_who_waits_can_be_sent_away() -> None:
    lanes = Lanes(concurrency=10, per_subscription=2)
    waiting = [job(), job()]
    lanes.begin("sub_1")
    lanes.begin("sub_1")
    assert all(lanes.wait(each) for each in waiting)
    lanes.begin("sub_2")
    assert lanes.empty("sub_2") == []
    assert lanes.empty_all() == waiting
    assert lanes.follow("sub_1") is None
