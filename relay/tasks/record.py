"""The last step of every way in: keep the pictures, then record the change.

Bytes are on the disk before the transaction that names them, so that no event ever speaks of a picture that is not there. A
result was paid for: if the store cannot take it now, it is offered again until it can.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from relay.errors import StoreError
from relay.model import Change, ErrorCode, Image, Picture, TaskError, TaskStatus, Update
from relay.ports import Applied, Archive, Store

T = TypeVar("T")

_log = logging.getLogger(__name__)
_LONGEST_PAUSE: Final = 5.0


class Recorder(Struct, frozen=True, kw_only=True):
    """Records what providers say."""

    store: Store
    archive: Archive
    new_id: Callable[[str], str]
    clock: Callable[[], datetime]

    async def record(self, change: Change) -> Applied | None:
        """Keep the update's pictures and apply the change. Raises StoreError; then nothing is recorded."""
        change = await self._with_images(change)
        applied = await self.store.apply(change)
        if kept := [image for image in change.images if image.kept]:
            named = {image.id for image in applied.task.images} if applied else set()
            await self._discard([image for image in kept if image.id not in named])
        return applied

    async def record_surely(self, change: Change) -> Applied | None:
        """The same, for what cannot be had again: a StoreError is waited out."""
        kept = await until_stored(lambda: self._with_images(change), change.task_id)
        return await until_stored(lambda: self.record(kept), change.task_id)

    async def _with_images(self, change: Change) -> Change:
        if change.update is None or not change.update.pictures or change.images:
            return change
        pictures = change.update.pictures
        if all(picture.data is None for picture in pictures):  # as in nearly every callback: there is nothing to keep
            return msgspec.structs.replace(change, images=tuple([self._linked(picture) for picture in pictures]))
        images, problems = await self._keep_all(pictures)
        if images:
            return msgspec.structs.replace(change, images=images)
        error = TaskError(code=ErrorCode.PROVIDER_ERROR, message=f"the picture that came does not open: {problems[0]}")
        failed = msgspec.structs.replace(change.update, status=TaskStatus.FAILED, pictures=(), error=error)
        return msgspec.structs.replace(change, update=failed)

    async def _keep_all(self, pictures: Sequence[Picture]) -> tuple[tuple[Image, ...], list[str]]:
        """Those that open, and what is wrong with the others: of several that were paid for, one that is broken costs no other."""
        kept: list[Image] = []
        problems: list[str] = []
        try:
            for picture in pictures:
                try:
                    kept.append(await self._keep(picture))
                except ValueError as exc:
                    problems.append(str(exc))
        except BaseException:
            await self._discard([image for image in kept if image.kept])
            raise
        return tuple(kept), problems

    async def _keep(self, picture: Picture) -> Image:
        if picture.data is None:
            return self._linked(picture)
        return msgspec.structs.replace(await self.archive.keep(self.new_id("img"), picture.data), source_url=picture.url)

    def _linked(self, picture: Picture) -> Image:
        return Image(id=self.new_id("img"), source_url=picture.url, source_expires_at=picture.expires_at, content_type=picture.content_type)

    async def _discard(self, images: Sequence[Image]) -> None:
        for image in images:
            with contextlib.suppress(StoreError):  # nothing names it: it is only in the way
                await self.archive.discard(image.id)


def ending(code: ErrorCode, message: str, *, provider_code: str | None = None) -> Update:
    """The update that ends a task without a result."""
    return Update(status=TaskStatus.FAILED, error=TaskError(code=code, message=message, provider_code=provider_code))


async def until_stored(record: Callable[[], Awaitable[T]], what: str) -> T:
    """Call `record` until the store takes it; `what` names it in the log."""
    pause = 0.1
    while True:
        try:
            return await record()
        except StoreError as exc:
            _log.warning("%s cannot be recorded yet: %s", what, exc)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
