"""Spans of time as callers write them: `5s`, `5m`, `2h`, `30d`."""

import re
from typing import Final

from relay.web.fields import refuse

_WRITTEN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}  # the largest first


def read_duration(text: str, field: str) -> float:
    """In seconds. Raises Invalid."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise refuse(field, 'must be a span such as "5s", "5m", "2h"')
    return float(match[1]) * _UNITS[match[2]]


def write_duration(seconds: float) -> str:
    """In the largest unit that leaves a whole number."""
    unit, size = next(((unit, size) for unit, size in _UNITS.items() if seconds and seconds % size == 0), ("s", 1.0))
    return f"{seconds / size:.6f}".rstrip("0").rstrip(".") + unit
