"""Owners hear how their subscriptions fare: enough to act on, and never a storm."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from relay.model import Event, EventType
from relay.ports import EventFilter
from tests.delivery.conformance.trial import deliveries, told, try_one
from tests.delivery.made import ACCOUNT, now
from tests.delivery.office import Office
from tests.delivery.receiver import OK, Answer, Receiver
from tests.web.conftest import House, read_json
from tests.web.subscribing import act, settled, subscribe

pytestmark = pytest.mark.anyio

BAD = Answer(status=500, body=b"no room")
OPERATIONAL = ["subscription.*", "delivery.failing"]


@asynccontextmanager
async def watched(api: httpx.AsyncClient) -> AsyncIterator[Receiver]:
    """The receiver of a subscription that asks for operational events."""
    async with Receiver() as watcher:
        await subscribe(api, url=watcher.url, events=OPERATIONAL)
        yield watcher


async def heard(watcher: Receiver, number: int = 1) -> list[dict[str, Any]]:
    return [httpx.Response(200, content=request.body).json() for request in await watcher.wait_for_requests(number)]


async def recorded(api: httpx.AsyncClient, kind: str) -> list[dict[str, Any]]:
    return list(read_json(await api.get("/api/v1/events", params={"type": kind}), 200)["data"])


async def test_subscription_disabled_is_told_with_the_reason_and_the_last_error(api: httpx.AsyncClient) -> None:
    async with watched(api) as watcher, Receiver(Answer(status=410)) as receiver:
        tried = await try_one(api, receiver.url)
        [event] = await heard(watcher)

    assert event["type"] == "subscription.disabled"
    assert (event["data"]["subscription"]["id"], event["data"]["subscription"]["disabled_reason"]) == (tried.subscription["id"], "gone")
    assert (event["data"]["delivery"]["id"], event["data"]["last_error"]) == (tried.delivery["id"], "answered 410")


async def test_subscription_disabled_after_five_days_says_so(office: Office) -> None:
    async with Receiver(BAD) as receiver, Receiver() as watcher:
        await office.subscribe(watcher.url, events=tuple(OPERATIONAL))
        await office.ping(await office.subscribe(receiver.url, failing_since=now() - timedelta(days=5)))
        async with office.at_work():
            [event] = await heard(watcher)

    assert (event["type"], event["data"]["subscription"]["disabled_reason"]) == ("subscription.disabled", "failing")
    assert event["data"]["last_error"] == "answered 500"


async def test_subscription_recovered_is_told_at_the_first_success_after_that(api: httpx.AsyncClient) -> None:
    async with watched(api) as watcher, Receiver(Answer(status=410), OK) as receiver:
        tried = await try_one(api, receiver.url)
        await heard(watcher)
        await act(api, tried.subscription, "resume")
        await settled(api, tried.delivery, attempts=2)
        await told(api, tried.subscription)
        _, event = await heard(watcher, 2)

    assert (event["type"], event["data"]["subscription"]["id"]) == ("subscription.recovered", tried.subscription["id"])
    assert (event["data"]["subscription"]["status"], event["data"]["last_error"]) == ("active", None)
    assert len(await recorded(api, "subscription.recovered")) == 1


async def test_the_fourth_failure_in_a_row_of_one_delivery_is_told(api: httpx.AsyncClient) -> None:
    async with watched(api) as watcher, Receiver(BAD) as receiver:
        await try_one(api, f"{receiver.url}/thrice", attempts=3, retry_schedule=["0s"] * 3)
        assert await recorded(api, "delivery.failing") == []
        tried = await try_one(api, receiver.url, attempts=4, retry_schedule=["0s"] * 4 + ["1h"])
        [event] = await heard(watcher)

    data = event["data"]
    assert (event["type"], data["last_error"]) == ("delivery.failing", "answered 500")
    assert (data["subscription"]["id"], data["delivery"]["id"], data["delivery"]["attempts"]) == (
        tried.subscription["id"], tried.delivery["id"], 4)
    assert data["delivery"]["next_attempt_at"] == tried.delivery["next_attempt_at"]


async def test_it_is_never_a_storm_but_one_for_each_subscription(api: httpx.AsyncClient) -> None:
    async with watched(api) as watcher, Receiver(BAD) as receiver:
        faulty = [await subscribe(api, url=f"{receiver.url}/{number}", retry_schedule=["0s"] * 6) for number in range(2)]
        for subscription in faulty:
            for delivery in [await act(api, subscription, "test", status=202) for _ in range(8)]:
                await settled(api, delivery, attempts=6)
        events = await heard(watcher, 2)
        assert len(await recorded(api, "delivery.failing")) == len(watcher.requests) == 2

    assert {event["data"]["subscription"]["id"] for event in events} == {subscription["id"] for subscription in faulty}


async def test_it_is_at_most_one_for_each_subscription_and_hour(office: Office) -> None:
    """Time goes by as an argument."""
    began = now()
    async with Receiver(BAD) as receiver:
        subscription = await office.subscribe(receiver.url)
        counted = []
        for later in (timedelta(0), timedelta(minutes=59), timedelta(minutes=61)):
            await office.ping(subscription)
            counted.append(await failing_at(office, receiver, began + later + timedelta(seconds=1)))
    assert counted == [1, 1, 2]


async def failing_at(office: Office, receiver: Receiver, at: datetime) -> int:
    """How many alarms were told in all, once a delivery has failed four times at that time."""
    expected = len(receiver.requests) + 4
    async with office.at_work(office.worker(clock=lambda: at, schedule=(0.0,) * 4)):
        await receiver.wait_for_requests(expected)
    events: list[Event] = (await office.store.events(ACCOUNT, EventFilter(type=EventType.DELIVERY_FAILING), limit=99)).data
    return len(events)


async def test_operational_events_go_to_subscriptions_that_ask_for_them_and_never_to_the_one_they_speak_of(
        api: httpx.AsyncClient) -> None:
    async with watched(api) as watcher, Receiver(Answer(status=410)) as receiver, Receiver() as uninterested:
        await subscribe(api, url=uninterested.url)
        tried = await try_one(api, receiver.url, events=["*"])
        await heard(watcher)
        assert [one["event_type"] for one in await deliveries(api, subscription_id=tried.subscription["id"])] == ["ping"]
        assert (len(receiver.requests), uninterested.connections) == (1, 0)


async def test_other_accounts_hear_nothing_of_it(house: House) -> None:
    other = await house.neighbour("read", "subscribe")
    async with Receiver() as stranger, watched(house.api) as watcher, Receiver(Answer(status=410)) as receiver:
        await subscribe(other, url=stranger.url, events=["*"])
        await try_one(house.api, receiver.url)
        await heard(watcher)
        assert stranger.connections == 0
        assert await recorded(other, "subscription.disabled") == []
