"""Replays over HTTP, and how long an account's things are kept."""

from typing import Any

import httpx
import pytest

from tests.web.conftest import House, named_fields, problem, read_json
from tests.web.subscribing import PATH, act, subscribe, trigger

pytestmark = pytest.mark.anyio

REPLAYS = "/api/v1/replays"


async def finished(api: httpx.AsyncClient, replay: dict[str, Any]) -> dict[str, Any]:
    while (found := read_json(await api.get(f"{REPLAYS}/{replay['id']}"), 200))["status"] == "running":
        continue
    return found


async def act_on(api: httpx.AsyncClient, replay: dict[str, Any], action: str) -> dict[str, Any]:
    return read_json(await api.post(f"{REPLAYS}/{replay['id']}/{action}"), 200)


async def test_a_replay_of_a_paused_subscription_waits_and_can_be_cancelled(api: httpx.AsyncClient) -> None:
    subscription = await subscribe(api)
    await act(api, subscription, "pause")
    await trigger(api)
    replay = await act(api, subscription, "replay", {"status": "held", "types": ["task.*"], "since": "2026-01-01T02:00:00+02:00"}, 202)
    assert (replay["since"], replay["types"]) == ("2026-01-01T00:00:00Z", ["task.*"])
    assert (await act_on(api, replay, "cancel"))["status"] == "cancelled"
    assert read_json(await api.get(f"{REPLAYS}/{replay['id']}"), 200)["completed_at"] is not None
    listed = read_json(await api.get(REPLAYS, params={"subscription_id": subscription["id"]}), 200)
    assert [found["id"] for found in listed["data"]] == [replay["id"]]


async def test_what_is_done_cannot_be_cancelled(api: httpx.AsyncClient) -> None:
    replay = await finished(api, await act(api, await subscribe(api), "replay", None, 202))
    problem(await api.post(f"{REPLAYS}/{replay['id']}/cancel"), 409, "conflict")


@pytest.mark.parametrize(("body", "field"), [
    ({"status": "pending"}, "status"), ({"types": ["nothing.*"]}, "types"), ({"types": []}, "types"), ({"since": "yesterday"}, "since"),
    ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"), ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
    ({"event_types": []}, "event_types"),
])
async def test_a_wish_that_means_nothing_is_refused_by_name(api: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    subscription = await subscribe(api)
    assert named_fields(await api.post(f"{PATH}/{subscription['id']}/replay", json=body)) == {field}


async def test_another_accounts_replay_is_not_found(house: House, api: httpx.AsyncClient) -> None:
    subscription = await subscribe(api)
    replay = await act(api, subscription, "replay", {}, 202)
    neighbour = await house.neighbour("subscribe", "read")
    for answer in (await neighbour.get(f"{REPLAYS}/{replay['id']}"), await neighbour.post(f"{REPLAYS}/{replay['id']}/cancel"),
                   await neighbour.post(f"{PATH}/{subscription['id']}/replay", json={})):
        problem(answer, 404, "not_found")


async def test_an_account_keeps_its_things_as_long_as_the_operator_says(house: House) -> None:
    account = read_json(await house.operator.post("/api/v1/accounts", json={"name": f"{house.account}-kept"}), 201)
    path = f"/api/v1/accounts/{account['id']}"
    assert account["retention"] is None
    for written, shown in (("90d", "90d"), ("36h", "36h"), ("120m", "2h"), (None, None)):
        assert read_json(await house.operator.patch(path, json={"retention": written}), 200)["retention"] == shown
    for wrong in ("3", "1s", "0d", "1d\n", "10000d"):
        assert named_fields(await house.operator.patch(path, json={"retention": wrong})) == {"retention"}
    problem(await house.operator.patch("/api/v1/accounts/acc_none", json={"retention": None}), 404, "not_found")
    problem(await (await house.with_key("read")).patch(path, json={"retention": "1d"}), 403, "forbidden")
