"""Which subscription hears of which event."""

from typing import Any

import pytest

from relay.model import Event, EventType, Subscription
from relay.stores.matching import as_text, glob, matches
from tests.stores.making import NOW


def subscription(**given: Any) -> Subscription:
    return Subscription(**{"id": "sub_1", "account_id": "acc_1", "url": "https://a.example/", "sealed_secret": "s", "created_at": NOW,
                           **given})


def event(**given: Any) -> Event:
    return Event(**{"id": "evt_1", "account_id": "acc_1", "type": EventType.TASK_SUCCEEDED, "created_at": NOW, "body": b"{}",
                    "task_id": "task_1", "provider": "kie", "metadata": {"order": 17, "rush": True, "none": None}, **given})


@pytest.mark.parametrize(("pattern", "text", "covers"), [
    ("*", "task.failed", True), ("*", "", True), ("task.*", "task.failed", True), ("task.*", "task.", True), ("task.*", "tasks", False),
    ("*.failed", "task.failed", True), ("*a*a*", "taska", True), ("*a*a*", "task", False), ("t*k.f*d", "task.failed", True),
    ("task.failed", "task.failed", True), ("task.failed", "task.failedx", False), ("task.?ailed", "task.failed", False),
    ("task.[f]ailed", "task.failed", False), ("ab*ba", "aba", False), ("a**b", "ab", True), ("", "", True), ("", "x", False),
    ("*ab*bc", "abc", False), ("*ab*bc", "abbc", True),
])
def test_a_pattern_covers_the_whole_type_and_only_the_star_is_special(pattern: str, text: str, covers: bool) -> None:  # noqa: FBT001
    assert glob(pattern, text) is covers


def test_an_odd_pattern_takes_no_time() -> None:
    assert not glob("*a" * 20_000 + "b", "a" * 20_000)


@pytest.mark.parametrize(("value", "text"), [
    ("17", "17"), (17, "17"), (1.5, "1.5"), (True, "true"), (False, "false"), (None, "null"), ([1, "a"], '[1,"a"]')], ids=str)
def test_metadata_is_compared_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(("given", "hears"), [
    ({}, True), ({"events": ("*",)}, True), ({"events": ("task.failed", "task.suc*")}, True), ({"events": ("task.failed",)}, False),
    ({"events": ()}, False), ({"providers": ("kie", "segmind")}, True), ({"providers": ("segmind",)}, False), ({"providers": ()}, False),
    ({"metadata": {}}, True), ({"metadata": {"order": "17"}}, True), ({"metadata": {"order": 17, "rush": "true"}}, True),
    ({"metadata": {"order": "17", "rush": "false"}}, False), ({"metadata": {"absent": "null"}}, False),
    ({"metadata": {"none": "null"}}, True),
    ({"task_id": "task_1"}, True), ({"task_id": "task_2"}, False),
], ids=str)
def test_all_that_a_subscription_asks_for_must_fit(given: dict[str, Any], hears: bool) -> None:  # noqa: FBT001 -- a test's parameter
    assert matches(subscription(**given), event()) is hears


def test_an_event_for_one_subscription_is_for_no_other() -> None:
    assert matches(subscription(), event(subscription_id="sub_1"))
    assert not matches(subscription(), event(subscription_id="sub_2"))


def test_an_event_of_no_provider_is_not_for_those_who_ask_for_one() -> None:
    assert not matches(subscription(providers=("kie",)), event(provider=None))
    assert matches(subscription(), event(provider=None))
