"""The pruner: what is finished goes with its pictures."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from relay.archive.local import LocalArchive
from relay.bell import Bell
from relay.errors import StoreError
from relay.ids import new_id
from relay.model import Account, Image, Task, TaskStatus
from relay.stores.sqlite import SqliteStore, open_store
from relay.tasks.prune import Pruner
from tests.tasks.scene import START

pytestmark = pytest.mark.anyio

LATER = START + timedelta(days=31)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_store(tmp_path / "relay.db", bell=Bell(), link=lambda _id, now: ("", now), new_id=new_id)
    await opened.add_account(Account(id="acc_1", name="default", created_at=START))
    yield opened
    await opened.close()


@pytest.fixture
def archive(tmp_path: Path) -> LocalArchive:
    return LocalArchive(tmp_path / "images")


class Stopping:
    """The real store; once it is asked for what is left over, the process stops. `fails`: how often it cannot be read first."""

    def __init__(self, store: SqliteStore, stopping: asyncio.Event) -> None:
        self._store = store
        self._stopping = stopping
        self.fails = 0
        self.prune_tasks, self.counts = store.prune_tasks, store.counts

    async def expired_tasks(self, *, retention: timedelta, now: datetime, limit: int) -> list[Task]:
        if self.fails:
            self.fails -= 1
            self._stopping.set()
            raise StoreError("the disk is full")
        return await self._store.expired_tasks(retention=retention, now=now, limit=limit)

    async def prune_rest(self, *, retention: timedelta, now: datetime, limit: int) -> int:
        self._stopping.set()
        return await self._store.prune_rest(retention=retention, now=now, limit=limit)


def pruner(store: Any, archive: LocalArchive) -> Pruner:
    return Pruner(store=store, archive=archive, retention=timedelta(days=30), clock=lambda: LATER)


def picture() -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


async def add(store: SqliteStore, *, at: datetime = START, images: Sequence[Image] = (), **fields: Any) -> Task:
    task, _ = await store.add_task(Task(
        id=new_id("task"), account_id="acc_1", provider="kie", created_at=at, status=TaskStatus.SUCCEEDED, completed_at=at,
        images=tuple(images), **fields), due_at=None)
    return task


async def test_pictures_go_with_their_task_and_those_of_others_stay(store: SqliteStore, archive: LocalArchive) -> None:
    own, given, young = [await archive.keep(f"img_{number}", picture()) for number in range(3)]
    await add(store, images=[own, Image(id="img_9", source_url="https://cdn.example/1.png")], input={"image": f"image:{given.id}"})
    kept = await add(store, at=LATER, images=[young])
    await pruner(store, archive).prune(asyncio.Event())
    assert [await archive.read(image.id) is None for image in (own, given, young)] == [True, True, False]
    assert await store.task("acc_1", kept.id) is not None
    assert [count.count for count in await store.counts("acc_1")] == [1, 1]


async def test_more_than_one_step_takes_is_all_gone_in_the_end(store: SqliteStore, archive: LocalArchive) -> None:
    tasks = [await add(store) for _ in range(260)]
    assert await pruner(store, archive).prune(asyncio.Event()) == 260
    assert [await store.task("acc_1", task.id) for task in tasks[::50]] == [None] * 6


async def test_it_ends_when_the_process_stops(store: SqliteStore, archive: LocalArchive) -> None:
    await add(store)
    stopping = asyncio.Event()
    async with asyncio.timeout(5):
        await pruner(Stopping(store, stopping), archive).run(stopping)
    assert await store.expired_tasks(retention=timedelta(days=30), now=LATER, limit=9) == []


async def test_a_store_that_cannot_be_read_does_not_end_it_by_itself(store: SqliteStore, archive: LocalArchive) -> None:
    stopping = asyncio.Event()
    stumbling = Stopping(store, stopping)
    stumbling.fails = 1
    async with asyncio.timeout(5):
        await pruner(stumbling, archive).run(stopping)
    assert stumbling.fails == 0
