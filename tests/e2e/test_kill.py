"""kill -9 at every point of a task's way: nothing that was accepted is lost, nothing is submitted twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.e2e.harness import Api, Inbox, free_port, serving
from tests.e2e.upstream import Upstream, relay_beside

pytestmark = pytest.mark.anyio


class Scene:
    """One relay that can be killed and started again, its upstream and its subscriber."""

    def __init__(self, folder: Path, upstream_url: str, upstream: Upstream, **env: str) -> None:
        self.upstream = upstream
        self.relay = relay_beside(upstream_url, folder, **env)
        self.api = Api(self.relay.url)

    async def restart(self) -> None:
        await self.relay.kill()
        await self.relay.start()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    upstream = Upstream()
    async with serving(upstream.app()) as url:
        scene = Scene(tmp_path, url, upstream)
        await scene.relay.start()
        async with scene.api:
            yield scene
        await scene.relay.kill()
        upstream.submit_gate.set()
        upstream.poll_gate.set()


@contextlib.asynccontextmanager
async def subscribed(scene: Scene, inbox: Inbox) -> AsyncIterator[None]:
    async with serving(inbox.app()) as url:
        await scene.api.subscribe(url + "/hook")
        yield


async def _put_off(scene: Scene, task_id: str) -> None:
    """Until the task is in the queue again, its provider not being there."""
    async with asyncio.timeout(20):
        while "submission_deferred" not in (await scene.api.get(f"/api/v1/tasks/{task_id}/timeline")).text:
            await asyncio.sleep(0.05)


async def test_killed_while_queued_it_is_sent_once_afterwards(tmp_path: Path) -> None:
    upstream, port = Upstream(), free_port()
    upstream.submit_gate.set()
    scene = Scene(tmp_path, f"http://127.0.0.1:{port}", upstream)
    await scene.relay.start()
    async with scene.api:
        task = await scene.api.submit(provider="segmind", prompt="nobody listens yet")
        await _put_off(scene, task["id"])
        await scene.restart()
        async with serving(upstream.app(), port):
            ended = await scene.api.ended(task["id"])
    await scene.relay.kill()
    assert ended["status"] == "succeeded"
    assert len(upstream.submits) == 1


@pytest.mark.parametrize("provider", ["serevix", "segmind"])
async def test_killed_while_a_submit_is_outstanding_a_task_without_callback_ends_unknown(scene: Scene, provider: str) -> None:
    inbox = Inbox()
    async with subscribed(scene, inbox):
        task = await scene.api.submit(provider=provider, prompt="a lighthouse")
        await scene.upstream.arrived.wait()
        await scene.restart()
        scene.upstream.submit_gate.set()
        ended = await scene.api.ended(task["id"])
        await inbox.holds(1)
    assert ended["error"]["code"] == "outcome_unknown"
    assert [event["type"] for event in inbox.events] == ["task.failed"]
    assert len(scene.upstream.submits) == 1


async def test_killed_while_a_submit_is_outstanding_the_callback_still_settles_the_task(scene: Scene) -> None:
    inbox = Inbox()
    async with subscribed(scene, inbox):
        task = await scene.api.submit(provider="apiframe", prompt="a lighthouse")
        await scene.upstream.arrived.wait()
        await scene.restart()
        answer = await scene.upstream.call_back()
        assert answer.status_code == 200
        ended = await scene.api.ended(task["id"])
        await inbox.holds(1)
    assert (ended["status"], ended["via"], ended["provider_task_id"]) == ("succeeded", "callback", "up-1")
    assert [event["type"] for event in inbox.events] == ["task.succeeded"]
    assert len(scene.upstream.submits) == 1


async def test_killed_right_after_the_submit_answer_the_task_is_not_sent_again(scene: Scene) -> None:
    task = await scene.api.submit(provider="apiframe", prompt="a lighthouse")
    await scene.upstream.arrived.wait()
    scene.upstream.submit_gate.set()
    await scene.restart()
    assert (await scene.upstream.call_back()).status_code == 200
    ended = await scene.api.ended(task["id"])
    assert ended["status"] == "succeeded"
    assert len(scene.upstream.submits) == 1


async def test_killed_right_after_a_callback_was_acknowledged_the_event_is_delivered(scene: Scene) -> None:
    scene.upstream.submit_gate.set()
    inbox, inbox_port = Inbox(), free_port()
    await scene.api.subscribe(f"http://127.0.0.1:{inbox_port}/hook")  # nobody listens there yet
    task = await scene.api.submit(provider="apiframe", prompt="a lighthouse")
    await scene.upstream.arrived.wait()
    assert (await scene.upstream.call_back()).status_code == 200
    await scene.relay.kill()
    async with serving(inbox.app(), inbox_port):
        await scene.relay.start()
        await inbox.holds(1)
    assert inbox.events[0]["data"]["task"]["id"] == task["id"]


async def test_killed_in_the_middle_of_a_delivery_the_same_event_comes_again(scene: Scene) -> None:
    scene.upstream.submit_gate.set()
    release = asyncio.Event()

    async def hold(_: Request) -> Response:
        await release.wait()
        return Response(status_code=204)

    inbox = Inbox(hold)
    async with subscribed(scene, inbox):
        await scene.api.submit(provider="apiframe", prompt="a lighthouse")
        await scene.upstream.arrived.wait()
        await scene.upstream.call_back()
        await inbox.holds(1)
        await scene.restart()
        release.set()
        await inbox.holds(2)
    first, second = (headers for headers, _ in inbox.received[:2])
    assert first["webhook-id"] == second["webhook-id"]
    assert inbox.received[0][1] == inbox.received[1][1]


async def test_killed_in_the_middle_of_a_poll_the_task_is_asked_for_again(scene: Scene) -> None:
    scene.upstream.submit_gate.set()
    task = await scene.api.submit(provider="serevix", prompt="a lighthouse")
    await scene.upstream.polled.wait()
    await scene.restart()
    scene.upstream.poll_gate.set()
    ended = await scene.api.ended(task["id"])
    assert (ended["status"], ended["via"]) == ("succeeded", "poll")
    assert len(scene.upstream.submits) == 1


async def test_stopped_with_a_held_call_it_exits_0_and_the_task_ends_unknown(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream.app()) as url:
        scene = Scene(tmp_path, url, upstream, RELAY_SHUTDOWN_GRACE="1s")
        await scene.relay.start()
        async with scene.api:
            task = await scene.api.submit(provider="segmind", prompt="held")
            await upstream.arrived.wait()
            assert await scene.relay.stop() == 0
            await scene.relay.start()
            ended = await scene.api.ended(task["id"])
        await scene.relay.kill()
        upstream.submit_gate.set()
    assert ended["error"]["code"] == "outcome_unknown"
    assert len(upstream.submits) == 1
