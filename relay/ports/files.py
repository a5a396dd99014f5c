"""Pictures: keeping those whose bytes are ours to keep, and fetching those that others name."""

from typing import Protocol

from relay.model import Image, Picture


class Archive(Protocol):
    """Keeps the bytes of pictures."""

    async def keep(self, image_id: str, data: bytes) -> Image:
        """Record the bytes under this id; on return they survive a power cut. The answer has `kept`, content type by magic
        bytes, width, height, size and SHA-256. Keeping the same bytes under the same id again is harmless.
        Raises ValueError if the bytes are no picture (JPEG, PNG, WebP, GIF) that opens, StoreError if there is no place for them."""
        ...

    async def read(self, image_id: str) -> tuple[bytes, str] | None:
        """Bytes and content type, or None if nothing is kept under this id (an id of any shape is taken safely)."""
        ...

    async def discard(self, image_id: str) -> None:
        """Forget the bytes; harmless if there are none. Raises StoreError if they cannot be removed."""
        ...


class Fetcher(Protocol):
    """Fetches what others named, under guard: no private address is ever connected to."""

    async def fetch(self, url: str, *, max_bytes: int, timeout: float) -> Picture:
        """The picture behind an http(s) URL: `data` and `content_type` are set. Follows no redirect.
        Raises ValueError, in words for whoever named the URL: refused address, no answer, not 200, too large, no picture."""
        ...
