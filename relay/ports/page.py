"""Lists, a stretch at a time."""

from typing import Any

from msgspec import Struct


class Page(Struct, frozen=True):
    """A stretch of a list, newest first, `data` being structs of one kind. `next_cursor` is the id of the last item where more follow."""

    data: list[Any]
    next_cursor: str | None = None
