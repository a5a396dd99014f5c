"""Faults that are asked for by words in the prompt: pure."""

import re
from typing import Final

from msgspec import Struct

MAX_SLOW: Final = 600.0
"""Seconds."""
MAX_RATE_LIMIT: Final = 1000

_WORD: Final = re.compile(r"(?<![\w:-])sandbox:([a-z]+(?:-[a-z]+)*)(?:=(\d{1,12}(?:\.\d{1,6})?))?(?![\w=-])", re.ASCII)


class Faults(Struct, frozen=True, kw_only=True):
    """What is to go wrong. `slow`: seconds that the generation takes, or None; `rate_limit`: how many submissions of this
    prompt are refused first."""

    moderated: bool = False
    error: bool = False
    slow: float | None = None
    no_callback: bool = False
    duplicate_callback: bool = False
    early_callback: bool = False
    late_progress: bool = False
    bad_secret: bool = False
    unreadable_callback: bool = False
    rate_limit: int = 0
    no_credits: bool = False
    drop_answer: bool = False
    expired_image: bool = False


_FLAGS: Final = frozenset(Faults.__struct_fields__) - {"slow", "rate_limit"}


def read_faults(prompt: str) -> Faults:
    """The faults that a prompt names. Unknown words, and values where none belong (or none where one does), mean nothing;
    of a word that comes twice the last counts."""
    found: dict[str, bool | float | int] = {}
    for word, value in _WORD.findall(prompt):
        name = word.replace("-", "_")
        if name in _FLAGS and not value:
            found[name] = True
        elif name == "slow" and value:
            found[name] = min(float(value), MAX_SLOW)
        elif name == "rate_limit" and value.isdigit():
            found[name] = min(int(value), MAX_RATE_LIMIT)
    return Faults(**found)  # type: ignore[arg-type]  # the names decide the types
