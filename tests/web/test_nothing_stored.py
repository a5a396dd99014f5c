"""A refused request leaves nothing behind, and two things that look alike are not taken for one."""

import httpx
import pytest

from tests.web.conftest import House, named_fields, problem, read_json

pytestmark = pytest.mark.anyio

SUBSCRIPTIONS = "/api/v1/subscriptions"


async def test_trying_a_subscription_that_is_not_there_records_no_event(api: httpx.AsyncClient) -> None:
    problem(await api.post(f"{SUBSCRIPTIONS}/sub_nobody/test"), 404, "not_found")
    assert read_json(await api.get("/api/v1/events"), 200)["data"] == []


async def test_trying_the_subscription_of_another_account_records_no_event_anywhere(house: House) -> None:
    neighbour = await house.neighbour("admin")
    theirs = read_json(await neighbour.post(SUBSCRIPTIONS, json={"url": "https://example.com/theirs"}), 201)
    problem(await house.api.post(f"{SUBSCRIPTIONS}/{theirs['id']}/test"), 404, "not_found")
    for client in (house.api, neighbour):
        assert read_json(await client.get("/api/v1/events"), 200)["data"] == []


@pytest.mark.parametrize("name", ["shop\n", "acc_shop", "", "a b", "ü"], ids=ascii)
async def test_an_account_is_not_named_so_that_it_could_be_taken_for_another(api: httpx.AsyncClient, name: str) -> None:
    assert named_fields(await api.post("/api/v1/accounts", json={"name": name})) == {"name"}


async def test_a_tasks_own_callback_url_is_no_bar_to_an_ordinary_subscription(house: House) -> None:
    url = "https://example.com/both"
    ordinary = read_json(await house.api.post(SUBSCRIPTIONS, json={"url": url}), 201)
    task = await house.submit(callback_url=url)
    own = read_json(await house.api.get(SUBSCRIPTIONS, params={"task_id": task["id"]}), 200)["data"][0]
    assert own["id"] != ordinary["id"]
    read_json(await house.api.post(f"{SUBSCRIPTIONS}/{own['id']}/rotate-secret"), 200)
    read_json(await house.api.patch(f"{SUBSCRIPTIONS}/{own['id']}", json={"events": ["task.failed", "task.failed"]}), 200)
    again = read_json(await house.api.post(SUBSCRIPTIONS, json={"url": url, "metadata": {}}), 200)
    assert again["id"] == ordinary["id"]


async def test_naming_a_type_twice_is_naming_it_once(api: httpx.AsyncClient) -> None:
    made = read_json(await api.post(SUBSCRIPTIONS, json={"url": "https://example.com/once"}), 201)
    changed = read_json(await api.patch(f"{SUBSCRIPTIONS}/{made['id']}", json={"events": ["ping", "task.*", "ping"]}), 200)
    assert changed["events"] == ["ping", "task.*"]


async def test_a_request_made_of_millions_of_values_is_refused_before_they_are_made(api: httpx.AsyncClient) -> None:
    body = b'{"options": {"a": [' + b"[]," * 2_000_000 + b"[]]}}"
    problem(await api.post("/api/v1/tasks", content=body, headers={"content-type": "application/json"}), 400, "invalid_request")


async def test_what_an_erased_task_said_is_not_sent_once_more_by_hand(house: House) -> None:
    read_json(await house.api.post(SUBSCRIPTIONS, json={"url": "https://example.com/erased"}), 201)
    task = await house.accepted()
    read_json(await house.call_back(task), 200)
    await house.see(task, wait=20)
    delivery = read_json(await house.api.get("/api/v1/deliveries", params={"task_id": task["id"]}), 200)["data"][0]
    read_json(await house.api.delete(f"/api/v1/tasks/{task['id']}"), 200)
    problem(await house.api.post(f"/api/v1/deliveries/{delivery['id']}/retry"), 409, "conflict")


async def test_a_task_that_would_have_to_be_asked_for_without_a_key_is_not_watched(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/tasks/watch", json={"provider": "kie", "provider_task_id": "up-1"})
    assert named_fields(answer, "provider_not_configured") == {"provider"}
