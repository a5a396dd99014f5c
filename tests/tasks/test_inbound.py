"""From the queue to the end: what may have reached a provider is never sent again, and nothing waits for ever."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode, Task, TaskError, TaskStatus, Update
from relay.ports import Limits, Rate
from tests.tasks.scene import Scene, ScriptedProvider, open_scene

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[Scene]]
ACCEPTED = Update(status=TaskStatus.SUBMITTED, provider_task_id="theirs")
RUNNING = Update(status=TaskStatus.PROCESSING, provider_task_id="theirs", progress=40)
DONE = Update(status=TaskStatus.SUCCEEDED, provider_task_id="theirs")
BUSY = ProviderError("rate_limited", "too many", fate=Fate.NOT_ACCEPTED)
CUT = ProviderError("provider_error", "the connection was cut", fate=Fate.UNKNOWN)
REFUSED = ProviderError("insufficient_credits", "no credits", fate=Fate.REFUSED, provider_code="402")


@pytest.fixture
async def scene_of(tmp_path: Path) -> AsyncIterator[Opener]:
    scenes: list[Scene] = []

    async def open_one(provider: ScriptedProvider, public_url: str | None = None) -> Scene:
        scenes.append(await open_scene(tmp_path, provider, public_url))
        return scenes[-1]

    yield open_one
    for scene in scenes:
        await scene.session.close()
        await scene.store.close()


async def test_what_was_surely_not_accepted_is_sent_again_until_it_is(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[BUSY, BUSY, ACCEPTED]))
    task = await scene.queue()
    for _ in range(3):
        await scene.send_due()
        scene.pass_time(seconds=30)
    assert len(scene.provider.submitted) == 3
    assert (await scene.see(task)).provider_task_id == "theirs"


async def test_the_wait_that_a_provider_asks_for_is_kept(scene_of: Opener) -> None:
    later = ProviderError("rate_limited", "wait", fate=Fate.NOT_ACCEPTED, retry_after=45.0)
    scene = await scene_of(ScriptedProvider(submits=[later, ACCEPTED]))
    task = await scene.queue()
    await scene.send_due()
    scene.pass_time(seconds=44)
    await scene.send_due()
    assert (await scene.see(task)).status is TaskStatus.QUEUED
    scene.pass_time(seconds=1)
    await scene.send_due()
    assert (await scene.see(task)).status is TaskStatus.SUBMITTED


async def test_a_provider_that_stays_busy_is_given_up_after_the_deadline(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[BUSY] * 50))
    task = await scene.queue()
    for _ in range(50):
        await scene.send_due()
        scene.pass_time(seconds=80)
    error = (await scene.see(task)).error
    assert error is not None
    assert error.code == "rate_limited"
    assert len(scene.provider.submitted) < 20


async def test_a_refusal_ends_the_task_with_the_providers_reason(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[REFUSED]))
    task = await scene.queue()
    await scene.send_due()
    assert (await scene.see(task)).error == TaskError(code=ErrorCode.INSUFFICIENT_CREDITS, message="no credits", provider_code="402")


@pytest.mark.parametrize("fault", [CUT, RuntimeError("a bug")], ids=["cut", "bug"])
async def test_what_may_have_arrived_ends_unknown_at_once_where_no_callback_can_come(scene_of: Opener, fault: Exception) -> None:
    scene = await scene_of(ScriptedProvider(submits=[fault, ACCEPTED]))
    task = await scene.queue()
    await scene.send_due()
    scene.pass_time(hours=1)
    await scene.send_due()
    error = (await scene.see(task)).error
    assert error is not None
    assert error.code == "outcome_unknown"
    assert len(scene.provider.submitted) == 1


async def test_what_may_have_arrived_waits_for_its_callback_until_the_deadline(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[CUT], result="callback"), "https://relay.test")
    task = await scene.queue()
    await scene.send_due()
    scene.pass_time(seconds=59)
    assert await scene.poll_due() == 0
    assert (await scene.see(task)).status is TaskStatus.SUBMITTED
    scene.pass_time(seconds=1)
    assert await scene.poll_due() == 1
    error = (await scene.see(task)).error
    assert error is not None
    assert error.code == "outcome_unknown"


async def test_a_provider_that_calls_back_is_told_a_signed_url_and_a_secret_of_this_task(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[ACCEPTED, ACCEPTED], result="callback"), "https://relay.test")
    tasks = [await scene.queue(), await scene.queue()]
    await scene.send_due()
    targets = [target for _, target in scene.provider.submitted]
    assert len({target.secret for target in targets if target}) == 2
    for task, target in zip(tasks, targets, strict=True):
        assert target is not None
        assert target.url.startswith("https://relay.test/callbacks/scripted/")
        assert scene.routes.seal.read(target.url.rpartition("/")[2]) == task.id


async def test_without_a_public_url_a_provider_that_could_call_back_is_polled(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[ACCEPTED], fetches=[RUNNING, DONE], result="callback"))
    task = await scene.queue()
    await scene.send_due()
    assert scene.provider.submitted[0][1] is None
    for _ in range(2):
        scene.pass_time(seconds=16)
        await scene.poll_due()
    ended = await scene.see(task)
    assert (ended.status, ended.via) == (TaskStatus.SUCCEEDED, "poll")


async def test_a_late_callback_is_asked_about_within_the_reconcile_span(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[ACCEPTED], fetches=[RUNNING, DONE], result="callback"), "https://relay.test")
    task = await scene.queue()
    await scene.send_due()
    scene.pass_time(seconds=5)
    assert await scene.poll_due() == 0
    for _ in range(2):
        scene.pass_time(seconds=10)
        assert await scene.poll_due() == 1
    assert (await scene.see(task)).status is TaskStatus.SUCCEEDED


async def test_questions_that_fail_are_repeated_and_the_deadline_ends_it(scene_of: Opener) -> None:
    scene = await scene_of(ScriptedProvider(submits=[ACCEPTED], fetches=[CUT] * 60))
    task = await scene.queue()
    await scene.send_due()
    while (await scene.see(task)).status is TaskStatus.SUBMITTED:
        scene.pass_time(seconds=10)
        await scene.poll_due()
    ended = await scene.see(task)
    assert ended.error is not None
    assert ended.error.code == "timeout"
    timeline = await scene.store.timeline(scene.account, task.id)
    assert timeline is not None
    assert {note.kind for note in timeline.notes} == {"poll_failed"}


@pytest.mark.parametrize(("limits", "sent"), [(Limits(max_concurrent=2), 2), (Limits(rate=Rate(3, 10.0)), 3), (Limits(), 5)],
                         ids=["concurrency", "rate", "none"])
async def test_what_is_over_the_limits_waits_in_the_queue(scene_of: Opener, limits: Limits, sent: int) -> None:
    scene = await scene_of(ScriptedProvider(submits=[ACCEPTED] * 5, fetches=[DONE] * 5, limits=limits))
    tasks: list[Task] = [await scene.queue() for _ in range(5)]
    await scene.send_due()
    await scene.send_due()
    assert len(scene.provider.submitted) == sent
    for _ in range(4):
        scene.pass_time(seconds=20)
        await scene.poll_due()
        await scene.send_due()
    assert [task.id for task, _ in scene.provider.submitted] == [task.id for task in tasks]
