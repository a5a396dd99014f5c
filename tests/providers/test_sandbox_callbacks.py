"""How the stand-ins call back: in the shape of the documents, and with the faults that were asked for."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.e2e.harness import Inbox, serving
from tests.providers.sandboxed import Client, running_sandbox

pytestmark = pytest.mark.anyio

SECRET = "secret-of-this-task"
END = ["task_id", "task_type", "original_image_url", "image_url"]


class Desk:
    """A sandbox, and who is called back."""

    def __init__(self, client: Client, inbox: Inbox, url: str) -> None:
        self.client = client
        self.inbox = inbox
        self.url = url

    async def apiframe(self, prompt: str, *, secret: str | None = SECRET) -> str:
        answer = await self.client.submit("apiframe", prompt, webhook_url=self.url, webhook_secret=secret)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    async def kie(self, prompt: str) -> str:
        answer = await self.client.submit("kie", prompt, callBackUrl=self.url)
        assert answer.json()["code"] == 200, answer.text
        return str(answer.json()["data"]["taskId"])

    async def bodies(self, count: int) -> list[dict[str, Any]]:
        await self.inbox.holds(count, seconds=10)
        return self.inbox.events

    async def billed(self, provider: str, prompt: str) -> None:
        """Until the work is done."""
        async with asyncio.timeout(10):
            while (await self.client.ledger(provider, prompt))[2] == 0:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_desk(inbox: Inbox | None = None, **options: Any) -> AsyncIterator[Desk]:
    box = inbox or Inbox()
    async with serving(box.app()) as url, running_sandbox(**options) as client:
        yield Desk(client, box, url + "/hook")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as desk:
        yield desk


async def test_apiframe_tells_progress_and_then_the_end_with_the_secret(desk: Desk) -> None:
    task_id = await desk.apiframe("a sandbox:slow=0.3")
    progress, end = await desk.bodies(2)
    assert progress == {"task_id": task_id, "task_type": "flux-imagine", "status": "processing", "percentage": 40}
    assert list(end) == END
    assert end == await desk.client.fetched(task_id)
    for headers, _ in desk.inbox.received:
        assert (headers["x-webhook-secret"], headers["content-type"]) == (SECRET, "application/json")
    assert await desk.client.ledger("apiframe") == (1, 1, 1, 2)


async def test_apiframe_tells_more_progress_of_what_takes_longer(desk: Desk) -> None:
    await desk.apiframe("a sandbox:slow=2")
    bodies = await desk.bodies(5)
    assert [body.get("percentage") for body in bodies] == [20, 40, 60, 80, None]


async def test_apiframe_sends_no_secret_where_none_was_given(desk: Desk) -> None:
    await desk.apiframe("a sandbox:slow=0.05", secret=None)
    await desk.bodies(2)
    assert all("x-webhook-secret" not in headers for headers, _ in desk.inbox.received)


@pytest.mark.parametrize(("fault", "words"), [("error", "failed"), ("moderated", "content policy")])
async def test_apiframe_tells_a_failure(desk: Desk, fault: str, words: str) -> None:
    task_id = await desk.apiframe(f"a sandbox:{fault} sandbox:slow=0.05")
    body = (await desk.bodies(2))[-1]
    assert list(body) == ["task_id", "task_type", "status", "message"]
    assert (body["task_id"], body["status"]) == (task_id, "failed")
    assert words in body["message"]
    assert (await desk.client.ledger("apiframe"))[2] == 0


async def test_kie_tells_the_end_once_and_unsigned_without_a_key(desk: Desk) -> None:
    task_id = await desk.kie("a sandbox:slow=0.05")
    (body,) = await desk.bodies(1)
    assert (list(body), body["code"], body["data"]["taskId"]) == (["code", "msg", "data"], 200, task_id)
    record = await desk.client.record(task_id)
    assert body["data"]["info"]["resultImageUrl"] == record["response"]["resultImageUrl"]
    assert (await desk.client.get(body["data"]["info"]["originImageUrl"])).status_code == 200
    assert "x-webhook-signature" not in desk.inbox.received[0][0]


@pytest.mark.parametrize(("fault", "code"), [("error", 501), ("moderated", 400)])
async def test_kie_tells_a_failure_with_empty_links(desk: Desk, fault: str, code: int) -> None:
    task_id = await desk.kie(f"a sandbox:{fault} sandbox:slow=0.05")
    (body,) = await desk.bodies(1)
    assert (body["code"], body["data"]) == (code, {"taskId": task_id, "info": {"originImageUrl": "", "resultImageUrl": ""}})


@pytest.mark.parametrize("is_right", [True, False])
async def test_kie_signs_task_and_timestamp_with_its_key(*, is_right: bool) -> None:
    async with open_desk(kie_hmac_key="hmac-key") as desk:
        task_id = await desk.kie("a sandbox:slow=0.05" + ("" if is_right else " sandbox:bad-secret"))
        await desk.bodies(1)
    headers, _ = desk.inbox.received[0]
    expected = hmac.digest(b"hmac-key", f"{task_id}.{headers['x-webhook-timestamp']}".encode(), hashlib.sha256)
    assert (headers["x-webhook-signature"] == base64.b64encode(expected).decode()) == is_right


async def test_a_wrong_secret_is_another_secret(desk: Desk) -> None:
    await desk.apiframe("a sandbox:bad-secret sandbox:slow=0.05")
    await desk.bodies(2)
    assert all(headers["x-webhook-secret"] not in ("", SECRET) for headers, _ in desk.inbox.received)


@pytest.mark.parametrize("provider", ["apiframe", "kie"])
async def test_no_callback_means_none_at_all(desk: Desk, provider: str) -> None:
    prompt = "a sandbox:no-callback sandbox:slow=0.05"
    await (desk.apiframe(prompt) if provider == "apiframe" else desk.kie(prompt))
    await desk.billed(provider, prompt)
    await (desk.apiframe("another sandbox:slow=0.05") if provider == "apiframe" else desk.kie("another sandbox:slow=0.05"))
    await desk.bodies(1)
    assert await desk.client.ledger(provider, prompt) == (1, 1, 1, 0)


@pytest.mark.parametrize("provider", ["apiframe", "kie"])
async def test_a_callback_can_come_before_the_answer_to_the_submission(provider: str) -> None:
    order: list[str] = []

    async def note(_: Request) -> Response:
        order.append("callback")
        return Response(status_code=200)

    async with open_desk(Inbox(note)) as desk:
        prompt = "a sandbox:early-callback sandbox:slow=0.05"
        task_id = await (desk.apiframe(prompt) if provider == "apiframe" else desk.kie(prompt))
        order.append("answer")
    assert order == ["callback", "answer"]
    assert task_id in json.dumps(desk.inbox.events)


@pytest.mark.parametrize("provider", ["apiframe", "kie"])
async def test_a_duplicate_comes_at_the_same_time(provider: str) -> None:
    both = asyncio.Barrier(2)

    async def meet(request: Request) -> Response:
        if b"percentage" not in await request.body():
            await both.wait()
        return Response(status_code=200)

    async with open_desk(Inbox(meet)) as desk:
        prompt = "a sandbox:duplicate-callback sandbox:slow=0.05"
        await (desk.apiframe(prompt) if provider == "apiframe" else desk.kie(prompt))
        bodies = await desk.bodies(3 if provider == "apiframe" else 2)
        assert bodies[-1] == bodies[-2]
        assert await desk.client.ledger(provider) == (1, 1, 1, len(bodies))


async def test_late_progress_comes_after_the_end(desk: Desk) -> None:
    task_id = await desk.apiframe("a sandbox:late-progress sandbox:slow=0.05")
    bodies = await desk.bodies(3)
    assert list(bodies[1]) == END
    assert bodies[2] == {"task_id": task_id, "task_type": "flux-imagine", "status": "processing", "percentage": 80}


@pytest.mark.parametrize("provider", ["apiframe", "kie"])
async def test_an_unreadable_callback_is_a_page_of_html(desk: Desk, provider: str) -> None:
    prompt = "a sandbox:unreadable-callback sandbox:slow=0.05"
    await (desk.apiframe(prompt) if provider == "apiframe" else desk.kie(prompt))
    await desk.inbox.holds(2 if provider == "apiframe" else 1, seconds=10)
    headers, body = desk.inbox.received[-1]
    assert headers["content-type"] == "text/html"
    assert body.startswith(b"<!doctype html>")


async def test_kie_repeats_a_callback_until_it_is_taken() -> None:
    answers = iter([500, 302, 200])

    async def refuse(_: Request) -> Response:
        return Response(status_code=next(answers, 200))

    async with open_desk(Inbox(refuse), kie_retries=(0.01, 0.02, 60)) as desk:
        await desk.kie("a sandbox:slow=0.05")
        bodies = await desk.bodies(3)
        assert bodies[0] == bodies[1] == bodies[2]
        assert (await desk.client.ledger("kie"))[3] == 3


async def test_who_cannot_be_reached_is_counted_and_harms_nobody(desk: Desk) -> None:
    answer = await desk.client.submit("apiframe", "a sandbox:slow=0.05", webhook_url="http://127.0.0.1:9/nobody")
    assert answer.status_code == 200
    await desk.apiframe("another sandbox:slow=0.05")
    await desk.bodies(2)
    assert (await desk.client.ledger("apiframe", "a sandbox:slow=0.05"))[3] == 2
