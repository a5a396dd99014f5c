"""Ids."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

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


def test_no_two_ids_of_many_threads_are_alike_and_all_have_their_shape() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: [new_id("dlv") for _ in range(20_000)], range(8)))
    ids = [each for of_one in made for each in of_one]
    assert len({each[-16:] for each in ids}) == 160_000
    assert all(re.fullmatch(r"dlv_[0-9a-hjkmnp-tv-z]{26}", each) for each in ids)
    for of_one in made:
        times = [each[:-16] for each in of_one]
        assert times == sorted(times)


def test_every_character_of_chance_is_as_likely_as_any_other() -> None:
    counted = Counter(character for _ in range(4096) for character in new_id("x")[-16:])
    assert set(counted) == set("0123456789abcdefghjkmnpqrstvwxyz")
    assert all(1700 < number < 2400 for number in counted.values())  # 2048, and eight standard deviations of 45


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    digits = new_id("evt")[4:14]
    told = 0
    for digit in digits:
        told = told * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(digit)
    assert before <= told <= time.time_ns() // 1_000_000
