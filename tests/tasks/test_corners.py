"""The corners of the inbound half: callbacks that are not believed and overtake the rest, stops, margins."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from relay.errors import Fate, ProviderError
from relay.ids import new_id
from relay.model import Callback, Change, Picture, Task, TaskStatus, Update, Verdict, Via
from relay.ports import Limits, Rate
from relay.tasks.submit import with_margin
from tests.tasks.scene import Scene, ScriptedProvider, open_scene

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[Scene]]
ACCEPTED = Update(status=TaskStatus.SUBMITTED, provider_task_id="theirs")
RUNNING = Update(status=TaskStatus.PROCESSING, provider_task_id="theirs", progress=40)
DONE = Update(status=TaskStatus.SUCCEEDED, provider_task_id="theirs")
BUSY = ProviderError("rate_limited", "too many", fate=Fate.NOT_ACCEPTED)
CUT = ProviderError("provider_error", "the connection was cut", fate=Fate.UNKNOWN)


@pytest.fixture
async def scene_of(tmp_path: Path) -> AsyncIterator[Opener]:
    scenes: list[Scene] = []

    async def open_one(provider: ScriptedProvider) -> Scene:
        scenes.append(await open_scene(tmp_path, provider, "https://relay.test"))
        return scenes[-1]

    yield open_one
    for scene in scenes:
        await scene.session.close()
        await scene.store.close()


async def call_back(scene: Scene, task: Task, verdict: Verdict, update: Update | None = None) -> None:
    callback = Callback(id=new_id("cbk"), task_id=task.id, account_id=task.account_id, provider=task.provider, verdict=verdict,
                        headers={}, body="{}", received_at=scene.now)
    next_at = scene.now + timedelta(seconds=10) if update else None
    await scene.store.apply(Change(task_id=task.id, via=Via.CALLBACK, now=scene.now, update=update, verdict=verdict, callback=callback,
                                   next_at=next_at))


async def test_one_that_cannot_be_read_does_not_end_a_task_whose_id_is_not_known(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[CUT], result="callback"))
    task = await scene.queue()
    await scene.send_due()
    await call_back(scene, task, Verdict.UNREADABLE)
    await scene.poll_due()
    assert (await scene.see(task)).status is TaskStatus.SUBMITTED
    await call_back(scene, task, Verdict.APPLIED, DONE)
    assert (await scene.see(task)).status is TaskStatus.SUCCEEDED


async def test_one_that_overtook_the_submit_answer_is_asked_about_as_soon_as_that_is_there(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[ACCEPTED], fetches=[DONE], result="callback"))
    task = await scene.queue()
    claim = await scene.store.claim_submissions("scripted", limits=Limits(), deadline=timedelta(minutes=1), now=scene.now)
    await call_back(scene, task, Verdict.UNREADABLE)
    assert await scene.poll_due() == 0
    await scene.submitter.send(claim.tasks[0])
    assert await scene.poll_due() == 1
    assert (await scene.see(task)).status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize("verdict", [Verdict.UNCONFIRMED, Verdict.APPLIED])
async def test_a_task_whose_answer_was_lost_but_whose_callback_named_its_id_is_asked_for_before_its_deadline(
        scene_of: Opener, verdict: Verdict) -> None:
    scene = await scene_of(ScriptedProvider(submits=[CUT], fetches=[DONE], result="callback"))
    task = await scene.queue()
    claim = await scene.store.claim_submissions("scripted", limits=Limits(), deadline=timedelta(minutes=1), now=scene.now)
    await call_back(scene, task, verdict, RUNNING)
    await scene.submitter.send(claim.tasks[0])
    scene.pass_time(seconds=10)
    assert await scene.poll_due() == 1
    assert (await scene.see(task)).status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize("verdict", [Verdict.UNCONFIRMED, Verdict.APPLIED])
async def test_a_task_in_the_queue_that_is_called_back_is_never_sent_again_and_ends_at_its_deadline(
        scene_of: Opener, verdict: Verdict) -> None:
    scene = await scene_of(ScriptedProvider(submits=[BUSY, ACCEPTED], fetches=[RUNNING] * 20, result="callback"))
    task = await scene.queue()
    await scene.send_due()
    assert (await scene.see(task)).status is TaskStatus.QUEUED
    await call_back(scene, task, verdict, RUNNING)
    while not (await scene.see(task)).status.is_final:
        scene.pass_time(seconds=10)
        await scene.send_due()
        await scene.poll_due()
    ended = await scene.see(task)
    assert len(scene.provider.submitted) == 1
    assert ended.error is not None
    assert ended.error.code == "timeout"


async def test_a_deadline_that_passes_teaches_nothing_about_how_long_tasks_take(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[ACCEPTED], fetches=[RUNNING] * 20))
    task = await scene.queue()
    await scene.send_due()
    before = scene.poll_clock.expected
    scene.pass_time(minutes=10)
    await scene.poll_due()
    assert (await scene.see(task)).status is TaskStatus.FAILED
    assert scene.poll_clock.expected == before


class Silence:
    """A picture that never comes."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def fetch(self, url: str, *, max_bytes: int, timeout: float) -> Picture:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError(url, max_bytes, timeout)


async def test_a_stop_while_the_input_picture_is_fetched_puts_the_task_back(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(result="response"))
    fetcher = Silence()
    submitter = msgspec.structs.replace(scene.submitter, fetcher=fetcher)
    task = Task(id=new_id("task"), account_id=scene.account, provider="scripted", created_at=scene.now, prompt="a lighthouse",
                input={"image": "https://example.com/never.png"})
    await scene.store.add_task(task, due_at=scene.now)
    claim = await scene.store.claim_submissions("scripted", limits=Limits(), deadline=timedelta(minutes=1), now=scene.now)
    sending = asyncio.create_task(submitter.send(claim.tasks[0]), name="send")
    await fetcher.asked.wait()
    sending.cancel()
    await asyncio.wait([sending])
    assert (await scene.see(task)).status is TaskStatus.QUEUED


def test_a_rate_is_kept_with_a_margin_for_requests_that_are_slow_to_arrive() -> None:
    assert with_margin(Limits(rate=Rate(20, 10.0))).rate == Rate(20, 11.0)
    assert with_margin(Limits(max_concurrent=3)) == Limits(max_concurrent=3)
