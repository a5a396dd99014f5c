"""Cutting lists into pages: one row more than the page holds is asked for, and tells whether there is another page."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from relay.ports.page import Page
from relay.stores.row import Row

FIRST_PAGE: Final = "~"
"""Behind every id, for lists that go by id downwards."""

END_OF_TIME: Final = 2**63 - 1
"""Behind every stored time, for lists that go by time downwards."""


def page(rows: Sequence[Row], limit: int, read: Callable[[Row], Any]) -> Page:
    """The first `limit` of `rows`, which were asked for with a limit of one more."""
    shown = rows[:limit]
    return Page(data=[read(row) for row in shown], next_cursor=shown[-1]["id"] if len(rows) > limit else None)
