"""What is common to all drop-ins: who may ask, where they are found, how they refuse, what is remembered, logged and counted."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from relay.errors import StoreError
from relay.ports import Caller
from relay.stores.sqlite.call import Calls
from relay.web.auth import StoreGate
from tests.e2e.harness import ADMIN_KEY, Inbox, serving
from tests.web.conftest import PUBLIC_URL, TASK, House, named_fields, read_json, relay_in

pytestmark = pytest.mark.anyio

SUBMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "serevix": ("/flux/v1/flux-pro-1.1", {"prompt": "a lighthouse"}),
    "apiframe": ("/flux-imagine", {"prompt": "a lighthouse", "model": "flux-pro-1.1"}),
    "segmind": ("/v1/flux-1.1-pro", {"prompt": "a lighthouse"}),
    "kie": ("/api/v1/flux/kontext/generate", {"prompt": "a lighthouse"}),
    "yescale": ("/v1/images/generations", {"prompt": "a lighthouse"}),
}
RESULT = "/flux/v1/get_result"


def shape_of(dropin: str, answer: httpx.Response) -> None:
    """The answer is an error in the words of that provider."""
    body = answer.json()
    match dropin:
        case "serevix":
            assert set(body) == {"detail"}
        case "apiframe":
            assert body == {} or set(body) == {"errors"}
        case "segmind":
            assert "error" in body
        case "kie":
            assert set(body) == {"code", "msg", "data"}
        case _:
            assert set(body["error"]) == {"message", "type", "param", "code"}


async def submit(house: House, dropin: str = "serevix", client: httpx.AsyncClient | None = None, **changes: Any) -> httpx.Response:
    path, body = SUBMITS[dropin]
    return await (client or house.api).post(f"/dropin/{dropin}{path}", **{"json": body, **changes})


async def polling_url(house: House) -> str:
    """Of a task that was made through Serevix's drop-in: path and query."""
    url = urlsplit(read_json(await submit(house), 200)["polling_url"])
    assert f"{url.scheme}://{url.netloc}" == PUBLIC_URL
    return f"{url.path}?{url.query}"


@pytest.mark.parametrize("headers", [
    {"authorization": f"Bearer {ADMIN_KEY}"}, {"authorization": ADMIN_KEY}, {"x-key": ADMIN_KEY}, {"x-api-key": ADMIN_KEY},
    {"authorization": "Bearer sk-another", "x-api-key": ADMIN_KEY}, {"x-key": "bfl-another", "x-api-key": ADMIN_KEY},
], ids=["bearer", "bare", "x-key", "x-api-key", "beside another", "behind another"])
async def test_the_key_is_taken_wherever_clients_put_theirs(house: House, headers: dict[str, str]) -> None:
    assert read_json(await submit(house, client=house.stranger, headers=headers), 200)["id"].startswith("task_")


@pytest.mark.parametrize("dropin", SUBMITS)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer sk-not-ours"}, {"x-api-key": "rly_" + "x" * 40}],
                         ids=["no", "foreign", "unknown"])
async def test_without_a_key_of_ours_it_is_401_in_the_providers_words(house: House, dropin: str, headers: dict[str, str]) -> None:
    answer = await submit(house, dropin, house.stranger, headers=headers)
    assert answer.json()["code"] == 401 if dropin == "kie" else answer.status_code == 401
    shape_of(dropin, answer)


async def test_a_key_that_may_not_submit_is_refused_as_one_that_is_wrong(house: House) -> None:
    reader = await house.with_key("read")
    answer = await submit(house, "yescale", reader)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("dropin", SUBMITS)
async def test_a_path_that_is_not_there_and_a_wrong_method_are_told_in_the_providers_words(house: House, dropin: str) -> None:
    nowhere = await house.api.post(f"/dropin/{dropin}/v9/nowhere", json={})
    assert nowhere.status_code == 404
    shape_of(dropin, nowhere)
    wrong = await house.api.delete(f"/dropin/{dropin}{SUBMITS[dropin][0]}")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/v1/credits", "/flux/v1/credits"])
async def test_the_credits_that_black_forest_labs_tells_are_not_there(house: House, path: str) -> None:
    answer = await house.api.get(f"/dropin/serevix{path}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


async def test_a_drop_in_that_is_none_is_a_path_that_is_not_there(house: House) -> None:
    assert (await house.api.post("/dropin/nobody/v1/x")).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("dropin", SUBMITS)
async def test_a_body_that_is_too_large_is_refused_in_the_providers_words(house: House, dropin: str) -> None:
    answer = await submit(house, dropin, content=b" " * (32 * 2**20 + 1), json=None, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    shape_of(dropin, answer)


@pytest.mark.parametrize("dropin", ["kie", "yescale"])
async def test_a_provider_without_a_key_is_not_available_and_asking_again_is_no_use(house: House, dropin: str) -> None:
    answer = await submit(house, dropin)
    assert answer.json()["code"] == 455 if dropin == "kie" else answer.status_code == 503
    assert (answer.headers["x-should-retry"], "retry-after" in answer.headers) == ("false", False)
    shape_of(dropin, answer)


async def test_an_input_picture_at_a_private_address_is_refused_without_a_word_of_what_kie_does_not_take(tmp_path: Path) -> None:
    async with relay_in(tmp_path / "data", RELAY_KIE_API_KEY="secret") as running, AsyncExitStack() as stack:
        house = await House(running, stack).open()
        told = (await submit(house, "kie", json={"prompt": "a lighthouse", "inputImage": "https://10.0.0.1/a.png"})).json()
    assert (told["code"], told["msg"]) == (422, "inputImage must not be reached: 10.0.0.1 is a private address")


@pytest.mark.parametrize("dropin", SUBMITS)
async def test_a_store_that_answers_nothing_is_unavailable_in_the_providers_words(house: House, dropin: str,
                                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_gate: StoreGate, _key: str | None, **_how: str | None) -> Caller:
        raise StoreError("the disk is full")

    monkeypatch.setattr(StoreGate, "admit", refuse)
    answer = await submit(house, dropin)
    assert answer.json()["code"] == 455 if dropin == "kie" else answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    shape_of(dropin, answer)


async def test_a_polling_url_opens_without_a_key_and_is_no_key_to_anything_else(house: House) -> None:
    url, other = await polling_url(house), await polling_url(house)
    assert read_json(await house.stranger.get(url), 200)["status"] in ("Pending", "Ready")
    task_id, token = url.partition("id=")[2].split("&token=")
    for forged in (f"{url}x", url.replace(token, other.partition("&token=")[2]), url.partition("&token=")[0], url[:-3]):
        assert (await house.stranger.get(forged)).status_code == 401
    assert (await house.stranger.get(f"/api/v1/tasks/{task_id}?token={token}", headers={"authorization": token})).status_code == 401


async def test_a_task_is_there_for_the_keys_of_its_account_and_in_its_own_drop_in_only(house: House) -> None:
    task_id = read_json(await submit(house), 200)["id"]
    assert (await house.api.get(f"/dropin/serevix{RESULT}", params={"id": task_id})).status_code == 200
    neighbour = await house.neighbour("read")
    assert (await neighbour.get(f"/dropin/serevix{RESULT}", params={"id": task_id})).status_code == 404
    other = await house.api.get("/dropin/kie/api/v1/flux/kontext/record-info", params={"taskId": task_id})
    assert other.json()["code"] == 404
    plain = await house.submit()
    assert (await house.api.get(f"/dropin/serevix{RESULT}", params={"id": plain["id"]})).status_code == 404


async def test_a_poll_asks_nobody_and_can_wait_for_the_end(house: House) -> None:
    answer = await submit(house, "apiframe")
    task_id = answer.json()["task_id"]
    polls = house.upstream.polls
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(house.api.post("/dropin/apiframe/fetch", params={"wait": "30"}, json={"task_id": task_id}), name="poll")
        await house.call_back({"id": task_id})
    assert waiting.result().json()["status"] == "finished"
    assert house.upstream.polls == polls


async def test_a_task_of_a_drop_in_is_an_ordinary_task(house: House) -> None:
    task_id = read_json(await submit(house), 200)["id"]
    task = read_json(await house.api.get(f"/api/v1/tasks/{task_id}"), 200)
    plain = await house.submit()
    assert set(task) == set(plain)
    assert (task["provider"], task["model"], task["prompt"]) == ("serevix", "flux-pro-1.1", "a lighthouse")


async def test_the_log_names_the_task_and_no_token(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "relay.access"):
        url = await polling_url(house)
        await house.stranger.get(url)
        task_id, token = url.partition("id=")[2].split("&token=")
        async with asyncio.timeout(20):  # a line is written when its request is over, which is after its answer
            while not any(getattr(record, "task", "") == task_id for record in caplog.records) or RESULT not in caplog.text:
                await asyncio.sleep(0.01)
    assert token not in caplog.text


async def test_who_is_told_to_come_again_finds_its_place_free_however_slow_the_store_is(tmp_path: Path,
                                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    leave = Calls.leave

    async def leave_slowly(calls: Calls, task_id: str, **how: Any) -> None:
        await asyncio.sleep(0.3)
        await leave(calls, task_id, **how)

    monkeypatch.setattr(Calls, "leave", leave_slowly)
    async with relay_in(tmp_path / "data", RELAY_DROPIN_SEGMIND_HOLD="300ms") as running, AsyncExitStack() as stack:
        house = await House(running, stack).open()
        running.upstream.submit_gate.clear()
        late = [await submit(house, "segmind") for _ in range(2)]
    assert [answer.status_code for answer in late] == [504, 504]
    assert late[0].headers["x-relay-task-id"] == late[1].headers["x-relay-task-id"]


async def test_requests_and_the_ends_of_calls_are_counted_by_drop_in(house: House) -> None:
    await submit(house)
    await house.api.get("/dropin/serevix/v9/nowhere")
    text = (await house.stranger.get("/metrics")).text
    assert 'relay_http_requests_total{route="/dropin/serevix/flux/v1/{model}",status="200"}' in text
    assert 'relay_http_requests_total{route="/dropin/serevix/*",status="404"}' in text
    assert 'relay_dropin_calls_total{dropin="serevix",end="taken"}' in text


async def test_a_key_can_say_who_makes_its_pictures(house: House) -> None:
    wish = {"name": "openai app", "scopes": ["submit"], "via": {"yescale": "segmind"}}
    made = read_json(await house.api.post("/api/v1/keys", json=wish), 201)
    assert made["via"] == {"yescale": "segmind"}
    answer = await submit(house, "yescale", await house.client(made["key"]), json={"prompt": "elsewhere", "size": "1280x960"})
    assert answer.status_code == 200
    assert "x-relay-approximated" not in answer.headers  # Segmind takes any size
    assert house.upstream.submits[-1]["width"] == 1280
    task = read_json(await house.api.get(f"/api/v1/tasks/{answer.headers['x-relay-task-id']}"), 200)
    assert (task["provider"], task["model"]) == ("segmind", "flux-1.1-pro")


@pytest.mark.parametrize("via", [{"yescale": "nobody"}, {"nobody": "kie"}], ids=str)
async def test_only_providers_that_there_are_make_pictures(house: House, via: dict[str, str]) -> None:
    answer = await house.api.post("/api/v1/keys", json={"name": "a key", "scopes": ["submit"], "via": via})
    assert named_fields(answer) == {"via"}


async def test_a_subscription_in_the_providers_format_is_told_of_the_id_that_the_app_has(house: House) -> None:
    inbox = Inbox()
    async with serving(inbox.app()) as hook:
        wish = {"url": hook, "format": "provider"}
        read_json(await house.api.post("/api/v1/subscriptions", json=wish), 201)
        task_id = (await submit(house, "apiframe")).json()["task_id"]
        await house.call_back({"id": task_id})
        await inbox.holds(1)
        plain = await house.submit(**TASK)
        await house.call_back(plain)
        await inbox.holds(2)
    assert [event["task_id"] for event in inbox.events] == [task_id, "up-1"]


@pytest.fixture
async def hosted(tmp_path: Path) -> AsyncIterator[House]:
    async with relay_in(tmp_path / "data", RELAY_DROPIN_HOSTS="bfl.example.com=serevix") as running, AsyncExitStack() as stack:
        yield await House(running, stack).open()


async def test_a_drop_in_stands_at_the_root_of_a_host_name(hosted: House) -> None:
    answer = await hosted.api.post("/flux/v1/flux-pro-1.1", json={"prompt": "a lighthouse"}, headers={"host": "BFL.example.com"})
    assert read_json(answer, 200)["polling_url"].startswith("https://bfl.example.com/flux/v1/get_result?id=task_")
    assert (await hosted.api.get("/api/v1/me", headers={"host": "bfl.example.com"})).json() == {"detail": "Not Found"}
    assert (await hosted.api.get("/api/v1/me", headers={"host": "evil.example.com"})).status_code == 200


async def test_callbacks_of_providers_come_through_at_such_a_host_name_too(hosted: House) -> None:
    task = await hosted.submit()
    asked = await hosted.asked_for(task)
    headers = {"x-webhook-secret": asked["webhook_secret"], "host": "bfl.example.com"}
    assert (await hosted.call_back(task, headers=headers)).status_code == 200
