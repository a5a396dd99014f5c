"""Pictures in a folder: `FOLDER/xy/img_…xy`, one file each, named by its id, spread over subfolders by the last two characters.

A picture is written beside its place, synced, renamed, and the folder synced too: it is there whole or not at all, also after a
power cut. The name has no ending: what kind of picture it is, its first bytes tell.
"""

import asyncio
import hashlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from PIL import GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from relay.errors import StoreError
from relay.model import Image
from relay.net.picture import picture_type

_ID: Final = re.compile(r"img_[0-9a-z]+")
_READERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "image/gif": GifImagePlugin.GifImageFile,
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/png": PngImagePlugin.PngImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
}


class LocalArchive:
    """The port Archive over a folder of the local disk, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, image_id: str, data: bytes) -> Image:
        """See ports.Archive. Raises ValueError for an id of the wrong shape, too."""
        return await asyncio.to_thread(self._keep, image_id, data)

    async def read(self, image_id: str) -> tuple[bytes, str] | None:
        """See ports.Archive."""
        return await asyncio.to_thread(self._read, image_id)

    async def discard(self, image_id: str) -> None:
        """See ports.Archive."""
        path = self._path(image_id)
        if path:
            try:
                await asyncio.to_thread(path.unlink, missing_ok=True)
            except OSError as exc:
                raise StoreError(f"the picture cannot be removed: {exc.strerror or exc}") from exc

    def _keep(self, image_id: str, data: bytes) -> Image:
        path = self._path(image_id)
        if path is None:
            raise ValueError(f"no id of a picture: {image_id!r}")
        content_type, width, height = _measure(data)
        try:
            _write(path, data)
        except OSError as exc:
            raise StoreError(f"the picture cannot be kept: {exc.strerror or exc}") from exc
        return Image(id=image_id, kept=True, content_type=content_type, width=width, height=height, size_bytes=len(data),
                     sha256=hashlib.sha256(data).hexdigest())

    def _read(self, image_id: str) -> tuple[bytes, str] | None:
        path = self._path(image_id)
        try:
            data = path.read_bytes() if path else b""
        except FileNotFoundError:
            return None
        content_type = picture_type(data)
        return (data, content_type) if content_type else None

    def _path(self, image_id: str) -> Path | None:
        """Where the bytes of this id are or would be; None for an id of another shape, which is kept away from the disk."""
        return self._folder / image_id[-2:] / image_id if _ID.fullmatch(image_id) else None


def _measure(data: bytes) -> tuple[str, int, int]:
    """Content type, width and height. The format's own reader is asked, which reads the header and checks the structure but decodes
    no pixel, so a picture that would unpack to gigabytes costs nothing."""
    content_type = picture_type(data)
    if content_type is None:
        raise ValueError("is no picture (JPEG, PNG, WebP or GIF)")
    try:
        with _READERS[content_type](io.BytesIO(data)) as picture:
            width, height = picture.size
            picture.verify()
    except Exception as exc:  # the readers raise whatever they trip over: SyntaxError, struct.error, EOFError
        raise ValueError(f"is a broken picture ({content_type})") from exc
    return content_type, width, height


def _write(path: Path, data: bytes) -> None:
    _make_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 -- a descriptor has no path
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    """As mkdir -p, and durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
