"""Globs over event types: `task.*`, `*`, `task.succeeded`."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from relay.model import EventType
from relay.web.fields import refuse

_GLOB: Final = re.compile(r"[a-z_.*?]{1,64}")


def check_patterns(patterns: Iterable[str], field: str) -> None:
    """Each must match a type that exists. Raises Invalid."""
    for pattern in patterns:
        if not _GLOB.fullmatch(pattern) or not any(fnmatchcase(kind, pattern) for kind in EventType):
            raise refuse(field, f"{pattern[:64]!r} matches no event type; there are {', '.join(EventType)}")


def matches(kind: EventType, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(kind, pattern) for pattern in patterns)
