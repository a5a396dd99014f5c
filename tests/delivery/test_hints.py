"""What receivers say in a way of their own."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.hints import address_for, means_gone, wait_asked_for
from relay.delivery.outcome import Tried, judge
from relay.model import DeliveryStatus, DisabledReason
from relay.net.fetch import Reply
from relay.ports import Settlement
from relay.retry import DEFAULT_SCHEDULE
from tests.delivery.made import NOW, make_attempt, make_job, make_subscription

HOOK = "https://discord.com/api/webhooks/1/tok-en_"


@pytest.mark.parametrize(("url", "address"), [
    (HOOK, HOOK + "?wait=true"), (HOOK + "?thread_id=5", HOOK + "?thread_id=5&wait=true"), (HOOK + "?wait=true", HOOK + "?wait=true"),
    (HOOK + "?wait=false", HOOK + "?wait=false"), (HOOK + "?wait=", HOOK + "?wait="),
    (HOOK + "?a=%2F%20b+c", HOOK + "?a=%2F%20b+c&wait=true"),
    (HOOK + "?awaits=1", HOOK + "?awaits=1&wait=true"),
])
def test_discord_is_asked_to_answer_once_it_has_the_message(url: str, address: str) -> None:
    assert address_for("discord", url) == address
    assert address_for("slack", url) == address_for("standard", url) == url


@pytest.mark.parametrize(("form", "status", "is_gone"), [
    ("standard", 410, True), ("slack", 410, True), ("discord", 410, True), ("discord", 404, True), ("standard", 404, False),
    ("slack", 404, False), ("slack", 403, False), ("discord", 403, False), ("discord", None, False), ("discord", 400, False),
])
def test_who_is_gone_for_good(form: str, status: int | None, is_gone: bool) -> None:  # noqa: FBT001 -- a column of a table
    assert means_gone(form, status) is is_gone


def asked(form: str = "discord", status: int = 429, body: bytes = b"", **headers: str) -> timedelta | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return wait_asked_for(form, Reply(status=status, headers=named, body=body), NOW)


@pytest.mark.parametrize(("body", "seconds"), [
    (b'{"message": "You are being rate limited.", "retry_after": 64.57, "global": false}', 64.57), (b'{"retry_after": 3}', 3.0),
    (b'{"retry_after": 1e300}', 86400.0), (b'{"retry_after": 0}', None), (b'{"retry_after": -5}', None), (b'{"retry_after": "5"}', None),
    (b'{"retry_after": null}', None), (b"{}", None), (b"[5]", None), (b"", None), (b"<html>", None), (b'{"retry_after": 5', None),
    (b'{"retry_after": "\xff"}', None), (b"[" * 4096, None),
])
def test_what_discord_asks_for_is_read_from_its_body(body: bytes, seconds: float | None) -> None:
    assert asked(body=body) == (None if seconds is None else timedelta(seconds=seconds))


def test_the_header_comes_before_the_body() -> None:
    assert asked(body=b'{"retry_after": 64.57}', retry_after="70") == timedelta(seconds=70)


@pytest.mark.parametrize(("form", "status"), [("standard", 429), ("slack", 429), ("discord", 500), ("discord", 200)])
def test_a_body_asks_for_nothing_elsewhere(form: str, status: int) -> None:
    assert asked(form, status, b'{"retry_after": 64.57}') is None
    assert asked(form, status, b"", retry_after="5") == timedelta(seconds=5)


@given(body=st.binary())
def test_no_answer_at_all_does_harm(body: bytes) -> None:
    assert asked(body=body) is None


def settle(status: int, retry_after: float | None = None, **subscription: Any) -> Settlement:
    tried = Tried(attempt=make_attempt(status_code=status), retry_after=None if retry_after is None else timedelta(seconds=retry_after))
    return judge(tried, make_job(make_subscription(**subscription)), schedule=DEFAULT_SCHEDULE, now=NOW, jitter=0.0)


def test_a_webhook_that_discord_does_not_know_is_disabled_at_once() -> None:
    assert settle(404, format="discord").disable is DisabledReason.GONE
    assert settle(404, format="slack").disable is None
    assert settle(404, format="standard").disable is None


def test_a_task_of_its_own_ends_with_it_and_disables_nothing() -> None:
    settled = settle(404, format="discord", task_id="task_1")
    assert (settled.status, settled.disable) == (DeliveryStatus.EXHAUSTED, None)
