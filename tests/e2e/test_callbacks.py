"""The orders in which callbacks really come."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.e2e.harness import ADMIN_KEY, Api, Inbox, Process, free_port, serving

pytestmark = pytest.mark.anyio


class Stage:
    """A relay with the sandbox built in, its API, and one subscriber of everything."""

    def __init__(self, api: Api, inbox: Inbox, secret: str) -> None:
        self.api = api
        self.inbox = inbox
        self.secret = secret

    async def run(self, prompt: str, provider: str = "apiframe") -> dict[str, Any]:
        """A task from submission to its final event."""
        task = await self.api.submit(provider=provider, prompt=prompt, width=None if provider == "kie" else 256,
                                     height=None if provider == "kie" else 256)
        return await self.api.ended(task["id"])

    async def verdicts(self, task_id: str, count: int) -> list[str]:
        """The verdicts on a task's callbacks, oldest first, as soon as there are that many."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.api.get("/api/v1/callbacks", params={"task_id": task_id})
                verdicts = [callback["verdict"] for callback in answer.json()["data"]]
                if len(verdicts) >= count:
                    return verdicts[::-1]
                await asyncio.sleep(0.05)

    async def final_events(self, task_id: str) -> list[str]:
        """What the subscriber was told of a task, as soon as that is anything."""
        async with asyncio.timeout(20):
            while not (told := [event["type"] for event in self.inbox.events if event["data"]["task"]["id"] == task_id]):
                await self.inbox.holds(len(self.inbox.received) + 1)
        return told


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Stage]:  # noqa: ARG001 -- the plugin wants it
    folder: Path = tmp_path_factory.mktemp("callbacks")
    port = free_port()
    env = {"RELAY_DATA_DIR": str(folder / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_RECONCILE_AFTER": "2s"}
    relay = await Process("serve", "--sandbox", "--port", str(port), port=port, env=env, log=folder / "relay.log").start()
    inbox = Inbox()
    async with serving(inbox.app()) as url, Api(relay.url) as api:
        subscription = await api.subscribe(url + "/hook")
        yield Stage(api, inbox, subscription["secret"])
    assert await relay.stop() == 0


async def test_before_the_submit_answer(stage: Stage) -> None:
    task = await stage.run("sandbox:early-callback a lighthouse")
    assert (task["status"], task["via"]) == ("succeeded", "callback")
    assert task["provider_task_id"]
    assert await stage.verdicts(task["id"], 1) == ["applied"]


async def test_twice_at_once(stage: Stage) -> None:
    task = await stage.run("sandbox:duplicate-callback a lighthouse")
    async with asyncio.timeout(20):
        while (verdicts := await stage.verdicts(task["id"], 2)).count("duplicate") != 1:  # progress is among them, and comes first
            await asyncio.sleep(0.05)
    assert set(verdicts) == {"applied", "duplicate"}
    assert await stage.final_events(task["id"]) == ["task.succeeded"]


async def test_progress_after_the_end(stage: Stage) -> None:
    task = await stage.run("sandbox:late-progress a lighthouse")
    async with asyncio.timeout(20):
        while "late" not in await stage.verdicts(task["id"], 1):
            await asyncio.sleep(0.05)
    again = (await stage.api.get(f"/api/v1/tasks/{task['id']}")).json()
    assert again["status"] == "succeeded"


@pytest.mark.parametrize("provider", ["apiframe", "kie"])
async def test_never(stage: Stage, provider: str) -> None:
    task = await stage.run("sandbox:no-callback a lighthouse", provider)
    assert (task["status"], task["via"]) == ("succeeded", "poll")


async def test_unreadable(stage: Stage) -> None:
    task = await stage.run("sandbox:unreadable-callback a lighthouse")
    assert (task["status"], task["via"]) == ("succeeded", "poll")
    assert "unreadable" in await stage.verdicts(task["id"], 1)


async def test_with_a_wrong_secret(stage: Stage) -> None:
    task = await stage.run("sandbox:bad-secret a lighthouse")
    assert (task["status"], task["via"]) == ("succeeded", "poll")
    answer = await stage.api.get("/api/v1/callbacks", params={"task_id": task["id"]})
    assert "applied" not in [callback["verdict"] for callback in answer.json()["data"]]


async def _watched(stage: Stage) -> tuple[dict[str, Any], str, str]:
    answer = await stage.api.post("/api/v1/tasks/watch", json={"provider": "apiframe"})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    return body, body["provider_callback_url"], body["provider_callback_secret"]


def _result(task_id: str) -> dict[str, str]:
    return {"task_id": task_id, "task_type": "flux-imagine", "original_image_url": "https://images.example.com/o.png",
            "image_url": "https://images.example.com/1.png"}


async def test_fifty_at_the_same_instant_make_one_event(stage: Stage) -> None:
    task, url, secret = await _watched(stage)
    async with httpx.AsyncClient(timeout=30) as client:
        answers = await asyncio.gather(*(
            client.post(url, json=_result("theirs-50"), headers={"x-webhook-secret": secret}) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    verdicts = await stage.verdicts(task["id"], 50)
    assert sorted(verdicts) == ["applied"] + ["duplicate"] * 49
    events = (await stage.api.get("/api/v1/events", params={"task_id": task["id"], "type": "task.succeeded"})).json()["data"]
    assert len(events) == 1
    deliveries = (await stage.api.get("/api/v1/deliveries", params={"task_id": task["id"]})).json()["data"]
    assert len(deliveries) == 1


async def test_another_tasks_token_changes_neither(stage: Stage) -> None:
    _, url, secret = await _watched(stage)
    other, _, other_secret = await _watched(stage)
    async with httpx.AsyncClient() as client:
        forged = await client.post(url, json=_result("x"), headers={"x-webhook-secret": other_secret})
        absent = await client.post(url, json=_result("x"))
        broken = await client.post(url[:-1] + ("A" if url[-1] != "A" else "B"), json=_result("x"), headers={"x-webhook-secret": secret})
        elsewhere = await client.post(url.replace("/apiframe/", "/kie/"), json=_result("x"), headers={"x-webhook-secret": secret})
    assert [answer.status_code for answer in (forged, absent, broken, elsewhere)] == [401, 401, 401, 401]
    assert (await stage.api.get(f"/api/v1/tasks/{other['id']}")).json()["status"] == "submitted"


async def test_a_body_that_names_another_provider_task_is_recorded_and_not_applied(stage: Stage) -> None:
    first = await stage.run("a lighthouse, first")
    answer = await stage.api.post("/api/v1/tasks/watch", json={"provider": "apiframe", "provider_task_id": first["provider_task_id"]})
    watched = answer.json()
    async with httpx.AsyncClient() as client:
        answered = await client.post(watched["provider_callback_url"], json=_result("somebody-elses"),
                                     headers={"x-webhook-secret": watched["provider_callback_secret"]})
    assert answered.status_code == 200
    assert await stage.verdicts(watched["id"], 1) == ["mismatched"]
    ended = await stage.api.ended(watched["id"])
    assert (ended["status"], ended["via"]) == ("succeeded", "poll")
    assert ended["images"][0]["url"] == first["images"][0]["url"]


async def test_every_event_was_signed_for_its_subscriber(stage: Stage) -> None:
    task = await stage.run("a lighthouse, signed")
    await stage.final_events(task["id"])
    for headers, body in stage.inbox.received:
        Webhook(stage.secret).verify(body, headers)
