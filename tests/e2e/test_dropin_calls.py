"""Held calls through a drop-in: answered when the task ends, taken up again by a repeat whose caller is gone, and never paid twice."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.dropped import Stand, open_stand

pytestmark = pytest.mark.anyio

PATH = "/v1/images/generations"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with open_stand(tmp_path_factory.mktemp("stand"), RELAY_DROPIN_YESCALE_HOLD="4s") as stand:
        yield stand


async def generate(stand: Stand, prompt: str, *, headers: dict[str, str] | None = None, key: str | None = None,
                   **fields: Any) -> httpx.Response:
    async with stand.app("yescale", key) as app:
        return await app.post(PATH, json={"prompt": prompt, **fields}, headers=headers)


@asynccontextmanager
async def calling(stand: Stand, prompt: str, **headers: str) -> AsyncIterator[None]:
    """A call is under way, its task recorded; at the end its connection is cut."""
    parts = urlsplit(stand.url)
    body = json.dumps({"prompt": prompt}).encode()
    lines = [f"POST /dropin/yescale{PATH} HTTP/1.1", f"host: {parts.netloc}", f"authorization: Bearer {stand.key}",
             "content-type: application/json", f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    async with asyncio.timeout(20):
        while not await stand.received(prompt):
            await asyncio.sleep(0.02)
    try:
        yield
    finally:
        writer.transport.abort()


def link(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"][0]["url"])


def error(answer: httpx.Response) -> dict[str, Any]:
    return dict(answer.json()["error"])


async def test_a_call_is_an_ordinary_task(stand: Stand) -> None:
    answer = await generate(stand, "an ordinary one", size="1280x960")
    task = (await stand.api.get(f"/api/v1/tasks/{answer.headers['x-relay-task-id']}")).json()
    assert (task["provider"], task["prompt"], task["status"]) == ("yescale", "an ordinary one", "succeeded")
    assert task["input"] == {"width": 1280, "height": 960}
    assert [image["url"] for image in task["images"]] == [link(answer)]


async def test_base64_is_the_picture_behind_the_link(stand: Stand) -> None:
    answer = await generate(stand, "in base64", response_format="b64_json", n=2)
    items = answer.json()["data"]
    task = (await stand.api.get(f"/api/v1/tasks/{answer.headers['x-relay-task-id']}")).json()
    async with httpx.AsyncClient() as client:
        pictures = [(await client.get(image["url"])).content for image in task["images"]]
    assert [base64.b64decode(item["b64_json"]) for item in items] == pictures
    assert {item["url"] for item in items} == {None}


async def test_four_equal_prompts_at_once_are_four_pictures(stand: Stand) -> None:
    answers = await asyncio.gather(*(generate(stand, "the same four times") for _ in range(4)))
    assert len({link(answer) for answer in answers}) == 4
    assert await stand.billed("the same four times") == 4


async def test_an_equal_prompt_after_an_answer_is_a_new_picture(stand: Stand) -> None:
    assert link(await generate(stand, "one after the other")) != link(await generate(stand, "one after the other"))


async def test_a_repeat_after_a_lost_connection_is_given_the_task_and_not_billed_again(stand: Stand) -> None:
    prompt = "cut off sandbox:slow=2"
    async with calling(stand, prompt):
        pass
    await gone(stand, prompt)
    answer = await generate(stand, prompt)
    assert link(answer)
    assert [task["id"] for task in await stand.tasks() if task["prompt"] == prompt] == [answer.headers["x-relay-task-id"]]
    assert await stand.billed(prompt) == 1


async def gone(stand: Stand, prompt: str) -> None:
    """Until it is recorded that the caller is gone: the one thing of it that shows is the log line of its request."""
    [task] = [task for task in await stand.tasks() if task["prompt"] == prompt]
    async with asyncio.timeout(20):
        while f'"task":"{task["id"]}"' not in stand.log():
            await asyncio.sleep(0.02)


async def test_what_the_lost_caller_asked_for_goes_on_without_it(stand: Stand) -> None:
    prompt = "nobody waits sandbox:slow=1"
    async with calling(stand, prompt):
        pass
    [task] = [task for task in await stand.tasks() if task["prompt"] == prompt]
    assert (await stand.api.ended(task["id"]))["status"] == "succeeded"


async def test_a_call_that_takes_too_long_is_answered_504_and_its_repeat_gets_the_picture(stand: Stand) -> None:
    prompt = "too slow sandbox:slow=5"
    late = await generate(stand, prompt)
    assert (late.status_code, late.headers["x-should-retry"]) == (504, "false")
    assert late.headers["x-relay-task-id"] in error(late)["message"]
    again = await generate(stand, prompt)
    assert link(again)
    assert again.headers["x-relay-task-id"] == late.headers["x-relay-task-id"]
    assert await stand.billed(prompt) == 1


async def test_a_repeat_under_another_key_is_another_task(stand: Stand) -> None:
    prompt = "two keys sandbox:slow=2"
    async with calling(stand, prompt):
        pass
    await gone(stand, prompt)
    assert link(await generate(stand, prompt, key=await stand.new_key()))
    assert await stand.received(prompt) == 2


async def test_a_live_caller_keeps_its_task_though_another_says_it_comes_again(stand: Stand) -> None:
    prompt = "alive sandbox:slow=1"
    async with asyncio.TaskGroup() as group:
        first = group.create_task(generate(stand, prompt), name="first")
        while not await stand.received(prompt):
            await asyncio.sleep(0.02)
        second = group.create_task(generate(stand, prompt, headers={"x-stainless-retry-count": "1"}), name="second")
    assert link(first.result()) != link(second.result())
    assert await stand.billed(prompt) == 2


async def test_an_idempotency_key_joins_even_a_live_caller(stand: Stand) -> None:
    prompt = "with a key sandbox:slow=1"
    answers = await asyncio.gather(*(generate(stand, prompt, headers={"Idempotency-Key": "order-1"}) for _ in range(3)))
    assert len({link(answer) for answer in answers}) == 1
    assert await stand.billed(prompt) == 1
    other = await generate(stand, "another prompt", headers={"Idempotency-Key": "order-1"})
    assert (other.status_code, other.headers["x-should-retry"]) == (409, "false")
    assert error(other)["code"] == "idempotency_key_reused"


async def test_a_client_that_missed_an_answer_that_was_sent_is_given_it_again(stand: Stand) -> None:
    prompt = "sent and lost"
    first = await generate(stand, prompt)
    again = await generate(stand, prompt, headers={"x-stainless-retry-count": "1"})
    assert link(again) == link(first)
    assert await stand.billed(prompt) == 1


async def test_what_failed_is_not_to_be_tried_again_by_the_client(stand: Stand) -> None:
    answer = await generate(stand, "cut upstream sandbox:drop-answer")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert error(answer)["code"] == "outcome_unknown"


async def test_a_crash_leaves_the_caller_gone_and_its_repeat_pays_nothing(tmp_path: Path) -> None:
    prompt = "a crash sandbox:slow=2"
    async with open_stand(tmp_path) as stand:
        async with calling(stand, prompt):
            await stand.process.kill()
        await stand.process.start()
        answer = await generate(stand, prompt)
        assert (answer.status_code, error(answer)["code"], answer.headers["x-should-retry"]) == (502, "outcome_unknown", "false")
        assert await stand.received(prompt) == 1


async def test_a_stop_answers_who_waits_and_the_repeat_after_it_is_given_the_task(tmp_path: Path) -> None:
    prompt = "a stop sandbox:slow=4"
    async with open_stand(tmp_path, RELAY_SHUTDOWN_GRACE="15s") as stand:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(generate(stand, prompt), name="waiting")
            while not await stand.received(prompt):
                await asyncio.sleep(0.02)
            assert await stand.process.stop() == 0
        assert (waiting.result().status_code, "x-should-retry" in waiting.result().headers) == (503, False)
        await stand.process.start()
        assert link(await generate(stand, prompt))
        assert await stand.billed(prompt) == 1
