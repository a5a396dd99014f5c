"""Deliveries: listed, looked at, sent once more."""

from typing import Any

import httpx
import pytest

from tests.delivery.receiver import Answer, Receiver
from tests.web.conftest import House, named_fields, problem, read_json
from tests.web.subscribing import act, look_at, settled, subscribe, succeeded, trigger, verified

pytestmark = pytest.mark.anyio

PATH = "/api/v1/deliveries"
FIELDS = {"id", "event_id", "event_type", "subscription_id", "task_id", "status", "attempts", "next_attempt_at", "created_at",
          "completed_at", "replay_id"}


async def listed(api: httpx.AsyncClient, **which: Any) -> list[dict[str, Any]]:
    return list(read_json(await api.get(PATH, params=which), 200)["data"])


async def test_a_delivery_tells_how_it_went(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500, body=b"no room"), Answer(status=200, body=b"thanks")) as receiver:
        made = await subscribe(api, url=receiver.url, retry_schedule=["0s", "0s"])
        delivery = (await trigger(api))["deliveries"][0]

        done = await settled(api, delivery, attempts=2)

        assert set(done) == FIELDS
        assert (done["status"], done["event_type"], done["subscription_id"]) == ("delivered", "task.succeeded", made["id"])
        assert (done["next_attempt_at"], done["completed_at"] is None) == (None, False)
        attempts = read_json(await api.get(f"{PATH}/{delivery['id']}/attempts"), 200)["data"]
        assert [(one["number"], one["status_code"], one["response_body"]) for one in attempts] == [(1, 500, "no room"), (2, 200, "thanks")]
        assert set(attempts[0]) == {"id", "delivery_id", "number", "started_at", "duration_ms", "status_code", "error", "response_body"}


async def test_the_list_can_be_narrowed(house: House) -> None:
    api, task = house.api, await succeeded(house)
    one = await subscribe(api)
    other = await subscribe(api, url="https://example.com/other", events=["task.failed"])
    for subscription in (one, other):
        await act(api, subscription, "pause")
    first = (await trigger(api))["deliveries"][0]
    second, third = sorted((await trigger(api, "task.failed"))["deliveries"], key=lambda delivery: delivery["subscription_id"] != one["id"])
    event_id = await event_of(api, task)
    fourth = read_json(await api.post(f"/api/v1/events/{event_id}/deliver", json={"subscription_id": other["id"]}), 202)
    await api.delete(f"/api/v1/subscriptions/{other['id']}")
    everything = [first, second, third, fourth]

    for which, expected in (
        ({}, everything),
        ({"subscription_id": one["id"]}, [first, second]),
        ({"status": "held"}, [first, second]),
        ({"status": "cancelled"}, [third, fourth]),
        ({"event_type": "task.failed"}, [second, third]),
        ({"task_id": task["id"]}, [fourth]),
        ({"task_id": task["id"], "subscription_id": one["id"]}, []),
        ({"since": first["created_at"]}, everything),
        ({"since": "2099-01-01T00:00:00+01:00"}, []),
        ({"subscription_id": "sub_nobody"}, []),
    ):
        assert {delivery["id"] for delivery in await listed(api, **which)} == {delivery["id"] for delivery in expected}, which


async def event_of(api: httpx.AsyncClient, task: dict[str, Any]) -> str:
    events = read_json(await api.get("/api/v1/events", params={"task_id": task["id"], "type": "task.succeeded"}), 200)["data"]
    return str(events[0]["id"])


async def test_the_list_comes_page_by_page(api: httpx.AsyncClient) -> None:
    made = await subscribe(api)
    await act(api, made, "pause")
    told = [(await trigger(api))["deliveries"][0]["id"] for _ in range(3)]

    first = read_json(await api.get(PATH, params={"limit": 2}), 200)
    second = read_json(await api.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]}), 200)

    assert [one["id"] for one in first["data"] + second["data"]] == told[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(("name", "value"), [
    ("status", "lost"), ("event_type", "task.done"), ("since", "yesterday"), ("since", "2026-01-01T00:00:00"), ("limit", "0"),
    ("limit", "201"), ("limit", "many"), ("cursor", ""), ("colour", "red"),
])
async def test_a_wrong_filter_is_refused_by_name(api: httpx.AsyncClient, name: str, value: str) -> None:
    assert named_fields(await api.get(PATH, params={name: value})) == {name}


class TestRetrying:
    """POST …/retry."""

    async def test_what_was_delivered_is_sent_again_with_the_same_id(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url)
            delivery = (await trigger(api))["deliveries"][0]
            await settled(api, delivery)

            again = read_json(await api.post(f"{PATH}/{delivery['id']}/retry"), 202)

            assert (again["id"], again["status"]) == (delivery["id"], "pending")
            await settled(api, delivery, attempts=2)
            assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2"]
            assert verified(receiver, made["secret"], 0) == verified(receiver, made["secret"], 1)
            numbers = [one["number"] for one in (await api.get(f"{PATH}/{delivery['id']}/attempts")).json()["data"]]
            assert numbers == [1, 2]

    async def test_what_was_exhausted_can_be_sent_at_last(self, api: httpx.AsyncClient) -> None:
        async with Receiver(Answer(status=500), Answer(status=204, body=b"")) as receiver:
            await subscribe(api, url=receiver.url, retry_schedule=["0s"])
            delivery = (await trigger(api))["deliveries"][0]
            assert (await settled(api, delivery))["status"] == "exhausted"

            read_json(await api.post(f"{PATH}/{delivery['id']}/retry"), 202)

            assert (await settled(api, delivery, attempts=2))["status"] == "delivered"

    async def test_a_deleted_subscription_gets_nothing_more(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)
        await act(api, made, "pause")
        delivery = (await trigger(api))["deliveries"][0]
        await api.delete(f"/api/v1/subscriptions/{made['id']}")

        problem(await api.post(f"{PATH}/{delivery['id']}/retry"), 409, "conflict")

    async def test_reading_is_not_enough(self, house: House) -> None:
        reader = await house.with_key("read")

        problem(await reader.post(f"{PATH}/dlv_any/retry"), 403, "forbidden")


async def test_a_delivery_of_a_forbidden_address_says_why(api: httpx.AsyncClient) -> None:
    await subscribe(api, url="https://localhost.localdomain.invalid/hook", retry_schedule=["0s"])
    delivery = (await trigger(api))["deliveries"][0]

    assert (await settled(api, delivery))["status"] == "exhausted"
    attempt = (await api.get(f"{PATH}/{delivery['id']}/attempts")).json()["data"][0]
    assert attempt["status_code"] is None
    assert "localhost.localdomain.invalid" in attempt["error"]


async def test_what_is_anothers_is_not_there(house: House) -> None:
    made = await subscribe(house.api)
    await act(house.api, made, "pause")
    delivery = (await trigger(house.api))["deliveries"][0]
    other = await house.neighbour("read", "subscribe")

    for answer in (await other.get(f"{PATH}/{delivery['id']}"), await other.get(f"{PATH}/{delivery['id']}/attempts"),
                   await other.post(f"{PATH}/{delivery['id']}/retry")):
        problem(answer, 404, "not_found")
    assert await listed(other) == []
    assert (await look_at(house.api, delivery))["status"] == "held"
