"""Pictures that were paid for are kept, whatever the disk and the other pictures do."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image as Pillow

from relay.errors import StoreError
from relay.model import Change, Image, Picture, TaskStatus, Update, Via
from relay.tasks.record import Recorder
from tests.tasks.scene import Scene, ScriptedProvider, open_scene

pytestmark = pytest.mark.anyio


def draw() -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    opened = await open_scene(tmp_path, ScriptedProvider(result="response"))
    yield opened
    await opened.session.close()
    await opened.store.close()


class FullDisk:
    """An archive that has no place at first."""

    def __init__(self, archive: object, refusals: int) -> None:
        self._archive = archive
        self.refusals = refusals

    async def keep(self, image_id: str, data: bytes) -> Image:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("no space left on device")
        return await self._archive.keep(image_id, data)  # type: ignore[attr-defined, no-any-return]

    async def read(self, image_id: str) -> tuple[bytes, str] | None:
        raise StoreError(image_id)

    async def discard(self, image_id: str) -> None:
        raise StoreError(image_id)


def answer(task_id: str, scene: Scene, *pictures: bytes) -> Change:
    update = Update(status=TaskStatus.SUCCEEDED, pictures=tuple(Picture(data=data) for data in pictures))
    return Change(task_id=task_id, via=Via.RESPONSE, now=scene.now, update=update, releases=True)


async def test_a_disk_that_is_full_is_waited_out(scene: Scene) -> None:
    task = await scene.queue()
    recorder = Recorder(store=scene.store, archive=FullDisk(scene.archive, 1), new_id=scene.recorder.new_id, clock=scene.clock)
    await recorder.record_surely(answer(task.id, scene, draw()))
    ended = await scene.see(task)
    assert ended.status is TaskStatus.SUCCEEDED
    assert await scene.archive.read(ended.images[0].id) is not None


async def test_one_broken_picture_of_several_costs_no_other(scene: Scene) -> None:
    task = await scene.queue()
    await scene.recorder.record(answer(task.id, scene, draw(), b"\x89PNG\r\n\x1a\nbroken", draw()))
    ended = await scene.see(task)
    assert (ended.status, len(ended.images)) == (TaskStatus.SUCCEEDED, 2)


async def test_a_result_without_one_picture_that_opens_is_a_failure(scene: Scene) -> None:
    task = await scene.queue()
    await scene.recorder.record(answer(task.id, scene, b"\x89PNG\r\n\x1a\nbroken"))
    ended = await scene.see(task)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (TaskStatus.FAILED, "provider_error")


async def test_recording_again_what_was_recorded_after_all_does_not_take_its_picture_away(scene: Scene) -> None:
    task = await scene.queue()
    image = await scene.archive.keep("img_1", draw())
    change = Change(task_id=task.id, via=Via.RESPONSE, now=scene.now, update=Update(status=TaskStatus.SUCCEEDED), images=(image,))
    await scene.recorder.record(change)
    await scene.recorder.record(change)  # as after a commit whose answer was lost
    assert await scene.archive.read("img_1") is not None


async def test_the_pictures_of_a_late_result_are_not_kept(scene: Scene) -> None:
    task = await scene.queue()
    await scene.recorder.record(answer(task.id, scene, draw()))
    image = await scene.archive.keep("img_2", draw())
    await scene.recorder.record(Change(task_id=task.id, via=Via.RESPONSE, now=scene.now, update=Update(status=TaskStatus.SUCCEEDED),
                                       images=(image,)))
    assert await scene.archive.read("img_2") is None
