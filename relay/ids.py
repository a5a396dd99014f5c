"""Ids: a prefix that names the noun, 48 bits of time, 80 bits of chance.

Sortable by the moment of making, to the millisecond, which makes paging by id paging by time; and unguessable. Crockford's
base 32 in lower case (as in ULID), so that an id survives being read aloud, a file name, a URL and a CSS selector.
"""

import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_CHARACTERS: Final = 26
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]


def new_id(prefix: str) -> str:
    """A new id such as `task_01jb…`; `prefix` comes without the underscore."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return f"{prefix}_{''.join(_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10))}"
