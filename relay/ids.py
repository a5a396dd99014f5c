"""Ids: a prefix that names the noun, 48 bits of time, 80 bits of chance.

Sortable by the moment of making, to the millisecond, which makes paging by id paging by time; and unguessable. Crockford's
base 32 in lower case (as in ULID), so that an id survives being read aloud, a file name, a URL and a CSS selector.

Every event needs several, most of them in the same millisecond, so that is written once. The chance is drawn from the system for many
ids at a time, and what is drawn is taken by one step that no other thread can come between: no two ids share it.
"""

import functools
import os
import time
from collections import deque
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]
_BY_BYTE: Final = (_ALPHABET * 8).encode()  # each character stands for as many bytes as any other
_DRAWN_AT_ONCE: Final = 512
_CHANCE_CHARACTERS: Final = 16

_chances: Final[deque[str]] = deque()


def new_id(prefix: str) -> str:
    """A new id such as `task_01jb…`; `prefix` comes without the underscore. From any thread."""
    return f"{prefix}_{_moment(time.time_ns() // 1_000_000)}{_chance()}"


@functools.lru_cache(maxsize=1)
def _moment(milliseconds: int) -> str:
    return (f"{_PAIRS[milliseconds >> 40]}{_PAIRS[milliseconds >> 30 & 1023]}{_PAIRS[milliseconds >> 20 & 1023]}"
            f"{_PAIRS[milliseconds >> 10 & 1023]}{_PAIRS[milliseconds & 1023]}")


def _chance() -> str:
    try:
        return _chances.pop()
    except IndexError:
        drawn = os.urandom(_CHANCE_CHARACTERS * _DRAWN_AT_ONCE).translate(_BY_BYTE).decode()
        first, *others = (drawn[at:at + _CHANCE_CHARACTERS] for at in range(0, len(drawn), _CHANCE_CHARACTERS))
        _chances.extend(others)
        return first
