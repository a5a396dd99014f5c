"""A provider that is full: whoever waits is sent when another task ends, and ends cost nothing while nobody waits for them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.errors import Fate, ProviderError
from relay.model import Change, Task, TaskStatus, Update, Via
from relay.ports import Limits
from relay.ports.store import Claim
from relay.stores.sqlite import SqliteStore
from tests.tasks.scene import Scene, ScriptedProvider, Step, open_scene

pytestmark = pytest.mark.anyio

ACCEPTED = Update(status=TaskStatus.SUBMITTED, provider_task_id="theirs")
DONE = Update(status=TaskStatus.SUCCEEDED, provider_task_id="theirs")


class Watched:
    """A store that counts claims, and has something happen once after one, before its caller has it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.claims = 0
        self.then: Callable[[], Awaitable[object]] | None = None

    async def claim_submissions(self, provider: str, **how: Any) -> Claim:
        self.claims += 1
        claim = await self._store.claim_submissions(provider, **how)
        if claim.is_full and self.then:
            then, self.then = self.then, None
            await then()
        return claim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@asynccontextmanager
async def opened(folder: Path, *submits: Step) -> AsyncIterator[Scene]:
    """With a provider that has room for one."""
    scene = await open_scene(folder, ScriptedProvider(submits=submits, limits=Limits(max_concurrent=1)))
    yield scene
    await scene.session.close()
    await scene.store.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path, *[ACCEPTED] * 9) as scene:
        yield scene


@asynccontextmanager
async def at_work(scene: Scene) -> AsyncIterator[Watched]:
    """The submitter runs; what it sees of the store."""
    watched, stopping = Watched(scene.store), asyncio.Event()
    submitter = msgspec.structs.replace(scene.submitter, store=watched)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(submitter.run(stopping), name="submitter")
        yield watched
        stopping.set()
        scene.bell.ring_all()


async def end(scene: Scene, task: Task) -> None:
    await scene.recorder.record(Change(task_id=task.id, via=Via.CALLBACK, now=scene.now, update=DONE))


async def is_accepted(scene: Scene, task: Task) -> None:
    with scene.bell.listen(f"task:{task.id}") as rung:
        while not (await scene.see(task)).accepted:
            await rung.wait(None)


async def test_the_end_of_one_lets_the_next_be_sent(scene: Scene) -> None:
    first, second, third = [await scene.queue() for _ in range(3)]
    async with at_work(scene):
        for running, waiting in ((first, second), (second, third)):
            await is_accepted(scene, running)
            assert (await scene.see(waiting)).status is TaskStatus.QUEUED
            await end(scene, running)
        await is_accepted(scene, third)


async def test_an_end_that_comes_while_room_is_looked_for_is_not_missed(scene: Scene) -> None:
    first = await scene.queue()
    async with at_work(scene) as store:
        await is_accepted(scene, first)
        store.then = lambda: end(scene, first)
        await is_accepted(scene, await scene.queue())


async def test_nobody_looks_for_room_at_an_end_that_nothing_waits_for(scene: Scene) -> None:
    first = await scene.queue()
    async with at_work(scene) as store:
        await is_accepted(scene, first)
        claims = store.claims
        await end(scene, first)
        await scene.store.check()  # a claim would have been made before it is through
        assert store.claims == claims


async def test_nobody_looks_for_new_tasks_while_there_is_no_room(scene: Scene) -> None:
    first, second = await scene.queue(), await scene.queue()
    async with at_work(scene) as store:
        await is_accepted(scene, first)
        await scene.store.check()
        claims = store.claims
        third = await scene.queue()
        await scene.store.check()
        assert store.claims == claims
        for task in (first, second):
            await end(scene, task)
        await is_accepted(scene, third)


async def test_one_that_the_provider_does_not_take_now_makes_room(tmp_path: Path) -> None:
    busy = ProviderError("rate_limited", "too many", fate=Fate.NOT_ACCEPTED)
    async with opened(tmp_path, busy, ACCEPTED) as scene:
        await scene.queue()
        second = await scene.queue()
        async with at_work(scene):
            await is_accepted(scene, second)
