"""The same warning again and again: a few of them are said, the rest is counted.

While a database is away, everybody who needs it complains at every try, and so does every request. That would fill the disk and hide
what else is said.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

_FEW: Final = 5
_SPAN_SECONDS: Final = 10.0


class _Said(Struct):
    """What became of one warning since `since`."""

    since: float
    count: int = 0
    left_out: int = 0


class Repetitions(logging.Filter):
    """For a handler. Of warnings that are worded alike but for their arguments, the first few in ten seconds pass. The first one after
    that says in the field `left_out` how many did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[object, _Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or record.exc_info:
            return True
        said = self._so_far(str(record.msg))
        if said.count >= _FEW:
            said.left_out += 1
            return False
        said.count += 1
        if said.left_out:
            record.left_out, said.left_out = said.left_out, 0
        return True

    def _so_far(self, wording: str) -> _Said:
        now = self._clock()
        said = self._said.setdefault(wording, _Said(since=now))
        if now - said.since >= _SPAN_SECONDS:
            said.since, said.count = now, 0
        return said
