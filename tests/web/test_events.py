"""Events: listed, sampled, told by hand."""

from typing import Any

import httpx
import pytest

from relay.model import EventType
from tests.delivery.receiver import Receiver
from tests.web.conftest import House, named_fields, problem, read_json
from tests.web.subscribing import act, settled, subscribe, succeeded, trigger, verified

pytestmark = pytest.mark.anyio

PATH = "/api/v1/events"


async def samples(api: httpx.AsyncClient, **which: Any) -> list[dict[str, Any]]:
    answer = await api.get(f"{PATH}/samples", params=which)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


class TestLooking:
    """The list, and one of it."""

    async def test_an_event_is_shown_as_it_was_told(self, house: House) -> None:
        task = await succeeded(house)

        found = read_json(await house.api.get(PATH, params={"task_id": task["id"], "type": "task.succeeded"}), 200)["data"]

        assert [(one["type"], one["task_id"]) for one in found] == [("task.succeeded", task["id"])]
        assert found[0]["data"]["task"] == task
        assert (await house.api.get(f"{PATH}/{found[0]['id']}")).json() == found[0]

    async def test_the_list_comes_page_by_page_newest_first(self, api: httpx.AsyncClient) -> None:
        told = [(await trigger(api, kind))["id"] for kind in ("task.failed", "ping", "task.failed")]

        first = read_json(await api.get(PATH, params={"limit": 2}), 200)
        second = read_json(await api.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]}), 200)

        assert [one["id"] for one in first["data"] + second["data"]] == told[::-1]
        assert [one["id"] for one in (await api.get(PATH, params={"type": "ping"})).json()["data"]] == [told[1]]

    async def test_what_is_anothers_is_not_there(self, house: House) -> None:
        told = await trigger(house.api)
        other = await house.neighbour("read", "subscribe")
        subscription = await subscribe(other)

        problem(await other.get(f"{PATH}/{told['id']}"), 404, "not_found")
        problem(await other.post(f"{PATH}/{told['id']}/deliver", json={"subscription_id": subscription["id"]}), 404, "not_found")
        assert (await other.get(PATH)).json()["data"] == []

    async def test_the_types_fit_a_drop_down(self, api: httpx.AsyncClient) -> None:
        types = (await api.get(f"{PATH}/types")).json()

        assert {one["value"] for one in types} == {kind.value for kind in EventType}
        assert types[0] == {"name": "task.submitted", "label": "Task submitted", "value": "task.submitted"}

    async def test_an_erased_event_says_nothing(self, house: House) -> None:
        task = await succeeded(house)
        event = (await house.api.get(PATH, params={"task_id": task["id"]})).json()["data"][0]
        subscription = await subscribe(house.api)
        await house.api.delete(f"/api/v1/tasks/{task['id']}")

        assert (await house.api.get(f"{PATH}/{event['id']}")).json()["data"] is None
        problem(await house.api.post(f"{PATH}/{event['id']}/deliver", json={"subscription_id": subscription["id"]}), 409, "conflict")
        assert all(task["id"] not in str(one) for one in await samples(house.api))


class TestSamples:
    """GET /api/v1/events/samples."""

    @pytest.mark.parametrize("kind", list(EventType))
    async def test_there_are_some_before_anything_happened(self, api: httpx.AsyncClient, kind: str) -> None:
        found = await samples(api, type=kind)

        assert [one["type"] for one in found] == [kind] * 3
        assert len({one["id"] for one in found}) == 3
        assert found[0]["id"] == (await samples(api, type=kind, limit=1))[0]["id"].replace("1", "3")

    async def test_they_are_exactly_what_a_subscriber_received(self, house: House) -> None:
        async with Receiver() as receiver:
            await subscribe(house.api, url=receiver.url)
            await succeeded(house)
            requests = await receiver.wait_for_requests(1)

            answer = await house.api.get(f"{PATH}/samples")

            assert answer.content == b"[" + requests[0].body + b"]"

    async def test_the_newest_come_first(self, api: httpx.AsyncClient) -> None:
        told = [(await trigger(api, "task.failed"))["id"] for _ in range(3)]

        assert [one["id"] for one in await samples(api, type="task.failed", limit=2)] == [told[2], told[1]]

    async def test_a_sample_has_the_fields_of_a_real_one(self, house: House) -> None:
        made_up = (await samples(house.api, limit=1))[0]
        await succeeded(house)
        real = (await samples(house.api, limit=1))[0]

        assert made_up["id"] != real["id"]
        assert shape_of(made_up["data"]["task"]) == shape_of(real["data"]["task"])

    @pytest.mark.parametrize(("name", "value"), [("type", "task.*"), ("limit", "0"), ("limit", "201"), ("count", "1")])
    async def test_a_wrong_wish_is_refused_by_name(self, api: httpx.AsyncClient, name: str, value: str) -> None:
        assert named_fields(await api.get(f"{PATH}/samples", params={name: value})) == {name}


def shape_of(value: Any) -> Any:
    """The names in it, all the way down; what the caller or the provider puts into a map is left out."""
    if isinstance(value, dict):
        return {name: None if name in ("input", "metadata") else shape_of(part) for name, part in value.items()}
    return [shape_of(part) for part in value] if isinstance(value, list) else None


class TestTelling:
    """POST /api/v1/events and …/deliver."""

    async def test_a_triggered_event_goes_the_whole_way(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url)
            await subscribe(api, url=f"{receiver.url}/other", events=["task.failed"])

            told = await trigger(api, "task.succeeded")

            assert told["id"] == told["event"]["id"]
            assert [one["subscription_id"] for one in told["deliveries"]] == [made["id"]]
            assert (await settled(api, told["deliveries"][0]))["status"] == "delivered"
            received = verified(receiver, made["secret"])
            assert (received["id"], received["data"]) == (told["id"], told["event"]["data"])

    @pytest.mark.parametrize("kind", list(EventType))
    async def test_every_type_can_be_triggered(self, api: httpx.AsyncClient, kind: str) -> None:
        await subscribe(api, events=["*"])

        told = await trigger(api, kind)

        assert (told["event"]["type"], len(told["deliveries"])) == (kind, 1)

    async def test_nobody_need_be_listening(self, api: httpx.AsyncClient) -> None:
        assert (await trigger(api))["deliveries"] == []

    @pytest.mark.parametrize(("body", "field"), [({}, "type"), ({"type": "task.*"}, "type"), ({"type": "ping", "data": {}}, "data")])
    async def test_what_is_no_type_is_refused(self, api: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
        assert named_fields(await api.post(PATH, json=body)) == {field}

    async def test_an_event_can_be_told_to_one_who_came_later(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            told = await trigger(api)
            made = await subscribe(api, url=receiver.url, events=["task.failed"])

            delivery = read_json(await api.post(f"{PATH}/{told['id']}/deliver", json={"subscription_id": made["id"]}), 202)
            again = read_json(await api.post(f"{PATH}/{told['id']}/deliver", json={"subscription_id": made["id"]}), 202)

            assert (delivery["event_id"], delivery["id"] != again["id"]) == (told["id"], True)
            await receiver.wait_for_requests(2)
            assert verified(receiver, made["secret"], 0) == verified(receiver, made["secret"], 1)

    @pytest.mark.parametrize("body", [{}, {"subscription_id": ""}, {"subscription_id": None}, {"subscription_id": 5}])
    async def test_it_must_be_somebody(self, api: httpx.AsyncClient, body: dict[str, Any]) -> None:
        told = await trigger(api)

        assert named_fields(await api.post(f"{PATH}/{told['id']}/deliver", json=body)) == {"subscription_id"}

    async def test_nobody_cannot_be_told(self, api: httpx.AsyncClient) -> None:
        told = await trigger(api)

        problem(await api.post(f"{PATH}/{told['id']}/deliver", json={"subscription_id": "sub_nobody"}), 404, "not_found")
        problem(await api.post(f"{PATH}/evt_nobody/deliver", json={"subscription_id": "sub_nobody"}), 404, "not_found")

    async def test_telling_a_paused_one_is_held(self, api: httpx.AsyncClient) -> None:
        told = await trigger(api)
        made = await subscribe(api)
        await act(api, made, "pause")

        delivery = read_json(await api.post(f"{PATH}/{told['id']}/deliver", json={"subscription_id": made["id"]}), 202)

        assert (delivery["status"], delivery["next_attempt_at"]) == ("held", None)

    async def test_reading_is_not_enough(self, house: House) -> None:
        reader = await house.with_key("read")

        problem(await reader.post(PATH, json={"type": "ping"}), 403, "forbidden")
        problem(await reader.post(f"{PATH}/evt_any/deliver", json={"subscription_id": "sub_any"}), 403, "forbidden")
