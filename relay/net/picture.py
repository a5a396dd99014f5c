"""What kind of picture some bytes are: told by their first bytes, since a content type is only a claim."""

from typing import Final

_MAGIC: Final = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF87a": "image/gif", b"GIF89a": "image/gif"}


def picture_type(data: bytes) -> str | None:
    """The content type of a JPEG, PNG, WebP or GIF; None for anything else."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
