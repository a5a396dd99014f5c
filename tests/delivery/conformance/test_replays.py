"""Replay jobs: events told once more to one subscription, beside what happens now."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.delivery.conformance.trial import deliveries
from tests.delivery.receiver import OK, Answer, Receiver
from tests.web.conftest import House, problem, read_json
from tests.web.subscribing import PATH, act, settled, subscribe, succeeded, trigger, verified

pytestmark = pytest.mark.anyio

REPLAYS = "/api/v1/replays"


async def replay(api: httpx.AsyncClient, subscription: dict[str, Any], **wish: Any) -> dict[str, Any]:
    return await act(api, subscription, "replay", wish, 202)


async def look(api: httpx.AsyncClient, started: dict[str, Any]) -> dict[str, Any]:
    return read_json(await api.get(f"{REPLAYS}/{started['id']}"), 200)


async def finished(api: httpx.AsyncClient, started: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (found := await look(api, started))["status"] == "running":
            continue
    return found


def ids(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


async def test_a_replay_takes_a_time_range_its_beginning_and_not_its_end(api: httpx.AsyncClient) -> None:
    told = [(await trigger(api))["event"] for _ in range(4)]
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url)
        times = {"since": told[1]["timestamp"], "until": told[3]["timestamp"]}
        done = await finished(api, await replay(api, subscription, **times))

    assert (done["total"], done["done"]) == (2, 2)
    assert sorted(ids(receiver)) == sorted(event["id"] for event in told[1:3])


async def test_a_replay_takes_a_status(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url, retry_schedule=["0s"])
        well = await trigger(api)
        await settled(api, well["deliveries"][0])
        receiver.say(Answer(status=500))
        failed = await trigger(api)
        await settled(api, failed["deliveries"][0])
        receiver.say(OK)
        for status, event in (("delivered", well), ("exhausted", failed)):
            receiver.requests.clear()
            done = await finished(api, await replay(api, subscription, status=status, until=failed["event"]["timestamp"] if
                                                    status == "delivered" else None))
            assert (done["delivery_status"], done["total"], ids(receiver)) == (status, 1, [event["id"]])


async def test_a_replay_takes_event_types_as_patterns(api: httpx.AsyncClient) -> None:
    told = {kind: await trigger(api, kind) for kind in ("task.succeeded", "task.failed", "task.progress", "provider.credits_low")}
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url, events=["*"])
        await finished(api, await replay(api, subscription, types=["task.failed", "provider.*"]))

    assert sorted(ids(receiver)) == sorted([told["task.failed"]["id"], told["provider.credits_low"]["id"]])


async def test_a_replay_tells_its_progress(api: httpx.AsyncClient) -> None:
    for _ in range(8):
        await trigger(api)
    gate = asyncio.Event()
    async with Receiver(Answer(until=gate)) as receiver:
        subscription = await subscribe(api, url=receiver.url)
        started = await replay(api, subscription)
        await receiver.wait_for_requests(1)
        under_way = await look(api, started)
        gate.set()
        done = await finished(api, started)
        listed = read_json(await api.get(REPLAYS, params={"subscription_id": subscription["id"]}), 200)["data"]

    assert [started["status"], under_way["status"], done["status"]] == ["running", "running", "done"]
    assert (under_way["total"], under_way["done"], done["total"], done["done"]) == (8, 0, 8, 8)
    assert (done["completed_at"] is None, [one["id"] for one in listed]) == (False, [started["id"]])


async def test_a_replay_can_be_cancelled_and_what_is_not_sent_yet_is_cancelled_with_it(api: httpx.AsyncClient) -> None:
    for _ in range(30):
        await trigger(api)
    gate = asyncio.Event()
    async with Receiver(Answer(until=gate)) as receiver, Receiver() as other:
        subscription, bystander = await subscribe(api, url=receiver.url), await subscribe(api, url=other.url)
        started = await replay(api, subscription)
        await receiver.wait_for_requests(1)
        stopped = read_json(await api.post(f"{REPLAYS}/{started['id']}/cancel"), 200)
        gate.set()
        await act(api, subscription, "test", status=202)
        await act(api, bystander, "test", status=202)
        await receiver.wait_for_requests(2)
        await other.wait_for_requests(1)
        pending = await deliveries(api, subscription_id=subscription["id"], status="pending", event_type="task.succeeded")
        assert (stopped["status"], pending) == ("cancelled", [])
        assert len(receiver.requests) < 30
        problem(await api.post(f"{REPLAYS}/{(await finished(api, await replay(api, bystander, types=['ping'])))['id']}/cancel"),
                409, "conflict")


async def test_a_replay_spares_live_traffic(api: httpx.AsyncClient) -> None:
    """An event that happens while a replay is under way waits behind a few of the replay only."""
    for _ in range(60):
        await trigger(api)
    gate = asyncio.Event()
    async with Receiver(Answer(until=gate)) as receiver:
        subscription = await subscribe(api, url=receiver.url, max_concurrent=1)
        started = await replay(api, subscription)
        await receiver.wait_for_requests(1)
        live = await trigger(api)
        gate.set()
        await finished(api, started)
        await receiver.wait_for_requests(61)

    assert ids(receiver).index(live["id"]) <= 20


async def test_a_replay_tells_a_new_subscription_what_happened_before_it_existed(house: House, api: httpx.AsyncClient) -> None:
    task = await succeeded(house)
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url)
        answer = await api.post(f"{PATH}/{subscription['id']}/replay", json={})
        started = read_json(answer, 202)
        assert answer.headers["location"] == f"{REPLAYS}/{started['id']}"
        done = await finished(api, started)
    assert (started["status"], started["total"], started["done"], started["completed_at"]) == ("running", None, 0, None)
    assert (done["status"], done["total"], done["done"], done["subscription_id"]) == ("done", 1, 1, subscription["id"])
    assert verified(receiver, subscription["secret"])["data"]["task"]["id"] == task["id"]
    [delivery] = read_json(await api.get("/api/v1/deliveries", params={"task_id": task["id"]}), 200)["data"]
    assert (delivery["replay_id"], delivery["status"], delivery["attempts"]) == (started["id"], "delivered", 1)


async def test_what_is_exhausted_is_listed_and_replayed_in_one_call(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500), Answer(status=200)) as receiver:
        subscription = await subscribe(api, url=receiver.url, retry_schedule=["0s"])
        event = await trigger(api)
        await settled(api, event["deliveries"][0])
        query = {"status": "exhausted", "subscription_id": subscription["id"]}
        [listed] = read_json(await api.get("/api/v1/deliveries", params=query), 200)["data"]
        assert listed["event_id"] == event["id"]
        done = await finished(api, await act(api, subscription, "replay", {"status": "exhausted"}, 202))
        assert (done["total"], done["done"], done["delivery_status"]) == (1, 1, "exhausted")
        again = await finished(api, await act(api, subscription, "replay", {"status": "exhausted"}, 202))
        assert again["total"] == 0
    assert [request.headers["webhook-id"] for request in receiver.requests] == [event["id"]] * 2
