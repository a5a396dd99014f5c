"""`ordered: true`: one at a time, each task's events in their order, and a retrying head that holds its own task only."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.delivery.conformance.trial import deliveries, told
from tests.delivery.receiver import OK, Answer, Received, Receiver
from tests.web.conftest import House
from tests.web.subscribing import act, settled, subscribe, succeeded, trigger

pytestmark = pytest.mark.anyio

ORDERED = {"ordered": True, "events": ["task.*"]}


def story(requests: list[Received], task: dict[str, Any]) -> list[tuple[str, str]]:
    """What came of this task: event and number of the attempt."""
    return [(told["type"], request.headers["webhook-attempt"]) for request in requests
            if (told := told_in(request))["data"]["task"]["id"] == task["id"]]


def told_in(request: Received) -> dict[str, Any]:
    return dict(httpx.Response(200, content=request.body).json())


async def test_one_at_a_time(api: httpx.AsyncClient) -> None:
    gate = asyncio.Event()
    async with Receiver() as receiver, Receiver() as other:
        subscription = await subscribe(api, url=receiver.url, **ORDERED, max_concurrent=8)
        for _ in range(5):
            await told(api, subscription)  # it is known to answer well
        receiver.say(Answer(until=gate))
        await subscribe(api, url=other.url, events=["task.*"])
        for _ in range(10):
            await trigger(api)
        await other.wait_for_requests(10)
        assert receiver.at_once == 1
        gate.set()
        await receiver.wait_for_requests(15)
        assert receiver.most_at_once == 1


async def test_in_event_order_for_each_task(house: House) -> None:
    async with Receiver() as receiver:
        subscription = await subscribe(house.api, url=receiver.url, **ORDERED)
        await act(house.api, subscription, "pause")
        tasks = [await succeeded(house) for _ in range(4)]
        await act(house.api, subscription, "resume")
        requests = await receiver.wait_for_requests(8)

    for task in tasks:
        assert story(requests, task) == [("task.submitted", "1"), ("task.succeeded", "1")]


async def test_a_retrying_head_holds_the_later_events_of_its_task(house: House) -> None:
    async with Receiver(Answer(status=500), Answer(status=500), OK) as receiver:
        await subscribe(house.api, url=receiver.url, **ORDERED, retry_schedule=["0s", "0s", "0s"])
        tasks = [await succeeded(house) for _ in range(3)]
        requests = await receiver.wait_for_requests(18)

    for task in tasks:
        assert story(requests, task) == [(kind, number) for kind in ("task.submitted", "task.succeeded") for number in ("1", "2", "3")]


async def test_a_retrying_head_holds_no_other_task(house: House) -> None:
    async with Receiver(Answer(status=500)) as receiver:
        subscription = await subscribe(house.api, url=receiver.url, **ORDERED, retry_schedule=["0s", "1h"])
        stuck = await succeeded(house)
        await receiver.wait_for_requests(1)
        receiver.say(OK)
        others = [await succeeded(house) for _ in range(3)]
        requests = await receiver.wait_for_requests(7)
        for task in others:
            for delivery in await deliveries(house.api, task_id=task["id"]):
                await settled(house.api, delivery)
        waiting = await deliveries(house.api, subscription_id=subscription["id"], status="pending")

    assert story(requests, stuck) == [("task.submitted", "1")]
    assert {(one["task_id"], one["event_type"]) for one in waiting} == {(stuck["id"], "task.submitted"), (stuck["id"], "task.succeeded")}
    for task in others:
        assert story(requests, task) == [("task.submitted", "1"), ("task.succeeded", "1")]


async def test_a_head_that_is_exhausted_holds_nothing_more(house: House) -> None:
    async with Receiver(Answer(status=500)) as receiver:
        await subscribe(house.api, url=receiver.url, **ORDERED, retry_schedule=["0s", "0s"])
        task = await succeeded(house)
        requests = await receiver.wait_for_requests(4)

    assert story(requests, task) == [(kind, number) for kind in ("task.submitted", "task.succeeded") for number in ("1", "2")]
