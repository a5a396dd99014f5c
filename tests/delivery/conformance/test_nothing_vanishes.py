"""Held deliveries, and one sent once more by hand: whatever was to be told is told, or listed."""

import httpx
import pytest

from tests.delivery.conformance.trial import TWICE, attempts_at, deliveries, seen, told, try_one
from tests.delivery.receiver import OK, Answer, Receiver
from tests.web.conftest import House, problem, read_json
from tests.web.subscribing import PATH, act, look_at, settled, subscribe, succeeded, trigger, verified

pytestmark = pytest.mark.anyio

DELIVERIES = "/api/v1/deliveries"


async def test_events_for_a_paused_subscription_are_kept_as_held_deliveries_and_nothing_is_sent(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver, Receiver() as other:
        subscription, bystander = await subscribe(api, url=receiver.url), await subscribe(api, url=other.url)
        await act(api, subscription, "pause")
        await trigger(api)
        await told(api, bystander)
        held = await deliveries(api, subscription_id=subscription["id"])
        assert [(one["status"], one["attempts"], one["next_attempt_at"]) for one in held] == [("held", 0, None)]
        assert receiver.connections == 0


async def test_events_for_a_disabled_subscription_are_kept_as_held_deliveries(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=410), OK) as receiver:
        gone = await try_one(api, receiver.url)
        later = (await trigger(api))["deliveries"]
        assert gone.subscription["status"] == "disabled"
        assert [one["status"] for one in later] == ["held"]
        assert (await act(api, gone.subscription, "resume"))["disabled_reason"] is None
        done = await settled(api, gone.delivery, attempts=2)
        assert done["status"] == "delivered"


async def test_resuming_sends_what_was_held_oldest_first(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url, max_concurrent=1)
        await act(api, subscription, "pause")
        held = [(await trigger(api))["id"] for _ in range(12)]
        await act(api, subscription, "resume")
        requests = await receiver.wait_for_requests(12)

    assert [request.headers["webhook-id"] for request in requests] == held


async def test_resuming_with_held_keep_leaves_them(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url)
        await act(api, subscription, "pause")
        [kept] = (await trigger(api))["deliveries"]
        await act(api, subscription, "resume", {"held": "keep"})
        await told(api, subscription)
        assert (await look_at(api, kept))["status"] == "held"
        assert len(receiver.requests) == 1


async def test_what_is_pending_when_its_subscription_is_paused_is_held_and_goes_on_afterwards(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500), OK) as receiver:
        pending = await try_one(api, receiver.url)
        await act(api, pending.subscription, "pause")
        paused = await look_at(api, pending.delivery)
        await act(api, pending.subscription, "resume")
        done = await settled(api, pending.delivery, attempts=2)

    assert (paused["status"], done["status"]) == ("held", "delivered")


async def test_deleting_a_subscription_cancels_what_is_pending_and_held_and_it_stays_listed(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500)) as receiver:
        pending = await try_one(api, receiver.url)
        other = await subscribe(api, url=f"{receiver.url}/other")
        await act(api, other, "pause")
        held = await act(api, other, "test", status=202)
        for subscription in (pending.subscription, other, other):
            assert read_json(await api.delete(f"{PATH}/{subscription['id']}"), 200) == {}

    listed = {one["id"]: one["status"] for one in await deliveries(api)}
    assert listed == {pending.delivery["id"]: "cancelled", held["id"]: "cancelled"}


async def test_a_manual_retry_is_an_attempt_record_and_does_not_restart_the_schedule(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500)) as receiver:
        exhausted = await try_one(api, receiver.url, retry_schedule=["0s"])
        again = read_json(await api.post(f"{DELIVERIES}/{exhausted.delivery['id']}/retry"), 202)
        await settled(api, exhausted.delivery, attempts=2)
        done = await seen(api, exhausted.subscription, exhausted.delivery)

    assert again["status"] == "pending"
    assert [(one["number"], one["status_code"]) for one in done.attempts] == [(1, 500), (2, 500)]
    assert done.standing == ("exhausted", 2)
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2"]


async def test_every_status_can_be_sent_once_more_by_hand(api: httpx.AsyncClient) -> None:
    async with Receiver(OK, OK) as receiver:
        delivered = await try_one(api, receiver.url)
        read_json(await api.post(f"{DELIVERIES}/{delivered.delivery['id']}/retry"), 202)
        assert (await settled(api, delivered.delivery, attempts=2))["status"] == "delivered"
        receiver.say(Answer(status=500))
        pending = await try_one(api, f"{receiver.url}/pending", retry_schedule=TWICE)
        receiver.say(OK)
        read_json(await api.post(f"{DELIVERIES}/{pending.delivery['id']}/retry"), 202)
        assert (await settled(api, pending.delivery, attempts=2))["status"] == "delivered"
        assert [one["number"] for one in await attempts_at(api, pending.delivery)] == [1, 2]


async def test_the_list_is_narrowed_by_status_subscription_task_event_type_and_since(house: House) -> None:
    api = house.api
    async with Receiver(Answer(status=500)) as receiver:
        failed = await try_one(api, receiver.url, retry_schedule=["0s"])
        receiver.say(OK)
        other = await subscribe(api, url=f"{receiver.url}/other")
        task = await succeeded(house)
        [first, second] = await deliveries(api, task_id=task["id"])
        for delivery in (first, second):
            await settled(api, delivery)
        ended = {first["id"], second["id"]}
        for which, expected in (
            ({}, ended | {failed.delivery["id"]}), ({"status": "exhausted"}, {failed.delivery["id"]}), ({"status": "delivered"}, ended),
            ({"status": "held"}, set()), ({"event_type": "ping"}, {failed.delivery["id"]}), ({"event_type": "task.succeeded"}, ended),
            ({"subscription_id": other["id"], "status": "delivered"}, {one["id"] for one in (first, second) if
                                                                       one["subscription_id"] == other["id"]}),
            ({"since": first["created_at"]}, ended), ({"since": "2099-01-01T00:00:00Z"}, set()),
        ):
            assert {one["id"] for one in await deliveries(api, **which)} == expected, which


async def test_an_event_can_be_delivered_to_one_subscription_whatever_it_asks_for(api: httpx.AsyncClient) -> None:
    event = await trigger(api)
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url, events=["task.failed"])
        delivery = read_json(await api.post(f"/api/v1/events/{event['id']}/deliver", json={"subscription_id": subscription["id"]}), 202)
        await settled(api, delivery)
        assert verified(receiver, subscription["secret"])["id"] == event["id"]


async def test_what_is_anothers_is_not_found(house: House) -> None:
    subscription = await subscribe(house.api)
    await act(house.api, subscription, "pause")
    delivery = await act(house.api, subscription, "test", status=202)
    other = await house.neighbour("read", "subscribe")

    for answer in (await other.get(f"{DELIVERIES}/{delivery['id']}"), await other.get(f"{DELIVERIES}/{delivery['id']}/attempts"),
                   await other.post(f"{DELIVERIES}/{delivery['id']}/retry")):
        problem(answer, 404, "not_found")
