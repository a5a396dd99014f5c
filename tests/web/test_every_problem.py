"""A request with several faults is told all of them at once, and a cursor that nobody gave out is one."""

import httpx
import pytest

from tests.web.conftest import House, named_fields

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("body", "fields"), [
    ({}, {"provider", "prompt"}),
    ({"prompt": 7}, {"provider", "prompt"}),
    ({"provider": "kie", "prompt": "x", "width": "wide", "seed": "s", "metadata": []}, {"width", "seed", "metadata"}),
    ({"provider": "kie", "colour": "red", "seed": 1.5}, {"colour", "prompt", "seed"}),
], ids=["nothing", "absent and wrong", "three wrong", "unknown, absent and wrong"])
async def test_all_fields_that_are_wrong_are_named_at_once(api: httpx.AsyncClient, body: dict[str, object], fields: set[str]) -> None:
    assert named_fields(await api.post("/api/v1/tasks", json=body)) == fields


async def test_all_query_parameters_that_are_wrong_are_named_at_once(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/tasks", params={"limit": "many", "status": "odd", "created_after": "yesterday", "colour": "red"})
    assert named_fields(answer) == {"limit", "status", "created_after", "colour"}


async def test_an_item_of_a_list_is_named_by_its_place(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/keys", json={"name": "", "scopes": ["read", "all"]})
    assert named_fields(answer) == {"name", "scopes.1"}


@pytest.mark.parametrize("noun", ["tasks", "events", "deliveries", "subscriptions", "callbacks", "keys", "accounts"])
@pytest.mark.parametrize("cursor", ["", "zzz", "task_", "task_%", "2", "x" * 200], ids=repr)
async def test_a_cursor_that_was_never_given_out_is_no_first_page(house: House, noun: str, cursor: str) -> None:
    assert named_fields(await house.api.get(f"/api/v1/{noun}", params={"cursor": cursor})) == {"cursor"}


async def test_a_list_that_is_always_whole_looks_like_any_other(house: House) -> None:
    task = (await house.api.post("/api/v1/tasks/watch", json={"provider": "kie"})).json()["id"]
    subscription = (await house.api.post("/api/v1/subscriptions", json={"url": "https://a.test/hook"})).json()["id"]
    delivery = (await house.api.post(f"/api/v1/subscriptions/{subscription}/test")).json()["id"]
    for path in (f"tasks/{task}/timeline", f"deliveries/{delivery}/attempts"):
        assert (await house.api.get(f"/api/v1/{path}")).json().keys() == {"data", "next_cursor"}, path
