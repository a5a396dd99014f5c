"""Where providers call back, and what can be seen of it afterwards."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.web.conftest import House, callback_body, named_fields, problem

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024


async def listed(house: House, **query: str) -> list[dict[str, Any]]:
    return list((await house.api.get("/api/v1/callbacks", params=query)).json()["data"])


async def test_a_callback_is_recorded_before_it_is_acknowledged(house: House) -> None:
    task = await house.accepted()

    answer = await house.call_back(task)

    assert (answer.status_code, answer.json()) == (200, {"code": 200, "msg": "success", "verdict": "applied"})
    assert (await house.see(task))["status"] == "succeeded"
    assert [(each["task_id"], each["provider"], each["verdict"]) for each in await listed(house)] == [(task["id"], "apiframe", "applied")]


async def test_a_second_one_changes_nothing(house: House) -> None:
    task = await house.accepted()

    verdicts = [(await house.call_back(task)).json()["verdict"] for _ in range(2)]

    assert verdicts == ["applied", "duplicate"]
    assert [each["verdict"] for each in await listed(house)] == ["duplicate", "applied"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""])
async def test_the_content_type_does_not_matter(house: House, content_type: str) -> None:
    task = await house.accepted()
    asked = await house.asked_for(task)
    headers = {"content-type": content_type, "X-Webhook-Secret": asked["webhook_secret"]}

    answer = await house.call_back(task, json=None, content=b'{"task_id": "up-1", "image_url": "https://x.example/1.png"}', headers=headers)

    assert answer.json()["verdict"] == "applied"


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe\0", b"[" * 5000, b'{"task_id": 1e999}'],
                         ids=["empty", "html", "no text", "deep", "a huge number"])
async def test_what_cannot_be_read_is_taken_and_kept(house: House, body: bytes) -> None:
    task = await house.accepted()

    answer = await house.call_back(task, json=None, content=body)

    assert (answer.status_code, answer.json()["verdict"]) == (200, "unreadable")
    assert [each["verdict"] for each in await listed(house)] == ["unreadable"]


async def test_one_that_names_another_task_is_mismatched(house: House) -> None:
    task = (await house.api.post("/api/v1/tasks/watch", json={"provider": "apiframe", "provider_task_id": "up-1"})).json()
    proof = {"x-webhook-secret": task["provider_callback_secret"]}

    answer = await house.stranger.post(
        urlsplit(task["provider_callback_url"]).path, json={**callback_body(), "task_id": "up-2"}, headers=proof)

    assert (answer.status_code, answer.json()["verdict"]) == (200, "mismatched")
    assert not (await house.see(task))["images"]


@pytest.mark.parametrize("headers", [{}, {"x-webhook-secret": ""}, {"x-webhook-secret": "wrong"}], ids=["none", "empty", "wrong"])
async def test_without_the_secret_nothing_is_kept(house: House, headers: dict[str, str]) -> None:
    task = await house.accepted()

    problem(await house.call_back(task, headers=headers), 401, "unauthorized")

    assert await listed(house) == []


@pytest.mark.parametrize("token", ["x", "task_x.y", "%00", "%ff", "%C3%BC", "a" * 3000])
async def test_a_token_that_is_not_ours_is_refused(house: House, token: str) -> None:
    problem(await house.stranger.post(f"/callbacks/apiframe/{token}", json=callback_body()), 401, "unauthorized")


async def test_a_token_of_another_provider_is_refused(house: House) -> None:
    asked = await house.asked_for(await house.accepted())
    path = urlsplit(asked["webhook_url"]).path.replace("/apiframe/", "/kie/")

    problem(await house.stranger.post(path, json=callback_body()), 401, "unauthorized")


async def test_a_provider_that_is_not_there_is_not_found(house: House) -> None:
    problem(await house.stranger.post("/callbacks/midjourney/token", json=callback_body()), 404, "not_found")


@pytest.mark.parametrize("path", ["/callbacks/apiframe/", "/callbacks//token", "/callbacks/apiframe", "/callbacks/apiframe/no_token/more"])
async def test_a_path_without_both_parts_is_not_there(house: House, path: str) -> None:
    assert problem(await house.stranger.post(path), 404, "not_found")["detail"] == "There is nothing at this path."


async def test_a_body_beyond_1_mebibyte_is_too_large(house: House) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * (MEBIBYTE // 16)

    task = await house.accepted()

    problem(await house.call_back(task, json=None, content=b" " * (MEBIBYTE + 1)), 413, "payload_too_large")
    problem(await house.call_back(task, json=None, content=chunks()), 413, "payload_too_large")
    assert await listed(house) == []


async def test_one_of_1_mebibyte_is_taken(house: House) -> None:
    task = await house.accepted()

    assert (await house.call_back(task, json=None, content=b" " * MEBIBYTE)).json()["verdict"] == "unreadable"


async def test_secrets_are_redacted(house: House) -> None:
    task = await house.accepted()
    secret = (await house.asked_for(task))["webhook_secret"]

    await house.call_back(task, json={**callback_body(), "echo": secret, "api_key": "theirs"})

    kept, = await listed(house)
    assert kept["headers"]["x-webhook-secret"] == "[redacted]"
    assert secret not in str(kept)
    assert "theirs" not in kept["body"]
    assert "up-1" in kept["body"]


class TestList:
    """GET /api/v1/callbacks."""

    async def test_it_is_narrowed_by_task_and_verdict(self, house: House) -> None:
        one, two = await house.accepted(), await house.accepted()
        for task in (one, one, two):
            await house.call_back(task)

        assert [each["verdict"] for each in await listed(house, task_id=one["id"])] == ["duplicate", "applied"]
        assert [each["task_id"] for each in await listed(house, verdict="applied")] == [two["id"], one["id"]]

    async def test_a_verdict_that_is_none_is_refused(self, api: httpx.AsyncClient) -> None:
        assert named_fields(await api.get("/api/v1/callbacks", params={"verdict": "fine"})) == {"verdict"}

    async def test_callbacks_of_another_account_are_not_there(self, house: House) -> None:
        task = await house.accepted()
        await house.call_back(task)
        neighbour = await house.neighbour("read")

        assert (await neighbour.get("/api/v1/callbacks", params={"task_id": task["id"]})).json()["data"] == []
