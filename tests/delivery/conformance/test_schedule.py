"""When the next attempt is made: the schedule, its jitter, and what the receiver asks for."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.model import DeliveryStatus
from relay.retry import DEFAULT_SCHEDULE
from relay.settings import load_settings
from tests.delivery.conformance.trial import Trial, http_date, seconds_between, seen, try_one
from tests.delivery.made import now
from tests.delivery.office import Office
from tests.delivery.receiver import Answer, Receiver
from tests.e2e.shell import run
from tests.web.conftest import named_fields
from tests.web.subscribing import PATH, URL, act, settled, subscribe

pytestmark = pytest.mark.anyio

SETTINGS = {"RELAY_RETRY_SCHEDULE": "0s,100s,2h"}
DAY = timedelta(days=1).total_seconds()
SLACK = 2.0  # from the moment of judging to the end of the attempt as it is told, on a machine that is busy


async def failing(api: httpx.AsyncClient, *, number: int = 1, asks: str | None = None, schedule: list[str] | None = None,
                  status: int = 500) -> list[Trial]:
    """So many deliveries that have failed once."""
    headers = {} if asks is None else {"Retry-After": asks}
    async with Receiver(Answer(status=status, headers=headers)) as receiver:
        subscription = await subscribe(api, url=receiver.url, retry_schedule=schedule)
        tried = [await act(api, subscription, "test", status=202) for _ in range(number)]
        return [await seen(api, subscription, await settled(api, delivery)) for delivery in tried]


async def test_the_schedule_of_the_instance_holds_for_all_subscriptions_without_one(api: httpx.AsyncClient) -> None:
    [tried] = await failing(api)

    assert tried.subscription["retry_schedule"] is None
    assert 80 <= tried.wait <= 120 + SLACK


async def test_a_subscription_may_have_a_schedule_of_its_own(api: httpx.AsyncClient) -> None:
    [tried] = await failing(api, schedule=["0s", "1000s"])

    assert 800 <= tried.wait <= 1200 + SLACK


async def test_the_schedule_of_a_subscription_is_validated(api: httpx.AsyncClient) -> None:
    wishes: tuple[Any, ...] = ([], ["soon"], ["8d"], [-1], ["-5s"], ["1s"] * 1000, "5s", [None], [{}], [1e300])
    for wrong in wishes:
        refused = named_fields(await api.post(PATH, json={"url": URL, "retry_schedule": wrong}))
        assert {name.split(".")[0] for name in refused} == {"retry_schedule"}, wrong


async def test_the_schedule_of_the_instance_is_validated(tmp_path: Path) -> None:
    for wrong in ("soon", "5", "1s,,2s", "-1s"):
        done = run("config", cwd=tmp_path, RELAY_RETRY_SCHEDULE=wrong)
        assert (done.returncode, "RELAY_RETRY_SCHEDULE" in done.stderr) == (2, True), done


async def test_without_a_word_it_is_ten_attempts_over_three_days_and_then_the_delivery_is_exhausted(office: Office) -> None:
    """Time goes by as an argument."""
    written = load_settings({}).retry_schedule
    assert list(written) == list(DEFAULT_SCHEDULE) == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    async with Receiver(Answer(status=500)) as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        at, waits = now(), []
        for number in range(1, 11):
            async with office.at_work(office.worker(schedule=written, clock=lambda: at)):  # noqa: B023 -- it is over before it changes
                await receiver.wait_for_requests(number)
            found = await office.delivery(delivery)
            waits += [] if found.next_attempt_at is None else [(found.next_attempt_at - at).total_seconds()]
            at = found.next_attempt_at or at
    assert waits == list(DEFAULT_SCHEDULE[1:])
    assert ((await office.delivery(delivery)).status, len(receiver.requests)) == (DeliveryStatus.EXHAUSTED, 10)


async def test_each_wait_is_spread_by_up_to_a_fifth_either_way(api: httpx.AsyncClient) -> None:
    waits = [tried.wait for tried in await failing(api, number=60)]

    assert 80 <= min(waits) < 95
    assert 105 < max(waits) <= 120 + SLACK


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_retry_after_in_seconds_moves_the_next_attempt(api: httpx.AsyncClient, status: int) -> None:
    [tried] = await failing(api, asks="3600", status=status)

    assert 3600 - SLACK <= tried.wait <= 3600 + SLACK


async def test_retry_after_as_a_date_moves_the_next_attempt(api: httpx.AsyncClient) -> None:
    asked = http_date(hours=3)
    [tried] = await failing(api, asks=asked)

    later = datetime.fromisoformat(tried.delivery["next_attempt_at"]) - datetime.strptime(asked, "%a, %d %b %Y %H:%M:%S %Z").astimezone(
        now().tzinfo)
    assert abs(later.total_seconds()) <= SLACK


@pytest.mark.parametrize("asks", ["0", "1", http_date(hours=-1), http_date(seconds=5), "soon", "-5", ""],
                         ids=["at once", "a second", "an hour ago", "a date", "a word", "less than nothing", "nothing"])
async def test_retry_after_never_shortens_the_schedule(api: httpx.AsyncClient, asks: str) -> None:
    [tried] = await failing(api, asks=asks)

    assert 80 <= tried.wait <= 120 + SLACK


async def test_jitter_never_brings_an_attempt_before_retry_after(api: httpx.AsyncClient) -> None:
    tried = await failing(api, number=40, asks="100")

    assert all(seconds_between(one.attempt["started_at"], one.delivery["next_attempt_at"]) >= 100 for one in tried)
    assert any(one.wait > 105 for one in tried)


@pytest.mark.parametrize("asks", ["99999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_retry_after_is_capped_at_24_hours(api: httpx.AsyncClient, asks: str) -> None:
    [tried] = await failing(api, asks=asks)

    assert DAY - SLACK <= tried.wait <= DAY + SLACK


async def test_what_slack_asks_for_in_retry_after_is_obeyed(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=429, headers={"Retry-After": "600"})) as receiver:
        tried = await try_one(api, receiver.url, format="slack", retry_schedule=["0s", "1s"])

    assert 600 - SLACK <= tried.wait <= 600 + SLACK


async def test_what_discord_asks_for_in_its_body_is_obeyed(api: httpx.AsyncClient) -> None:
    body = b'{"message": "You are being rate limited.", "retry_after": 640.57, "global": false}'
    async with Receiver(Answer(status=429, body=body)) as receiver:
        tried = await try_one(api, receiver.url, format="discord", retry_schedule=["0s", "1s"])

    assert 640 <= tried.wait <= 641 + SLACK
