"""Ids."""

import re
import time

from relay.ids import new_id


def test_an_id_is_its_prefix_and_26_characters() -> None:
    assert re.fullmatch(r"task_[0-9a-hjkmnp-tv-z]{26}", new_id("task"))


def test_ids_sort_by_the_millisecond_of_their_making() -> None:
    first = new_id("evt")
    made = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == made:
        pass
    assert new_id("evt") > first


def test_no_two_ids_are_alike_though_made_at_once() -> None:
    ids = [new_id("dlv") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert len({each[-16:] for each in ids}) == 1000
