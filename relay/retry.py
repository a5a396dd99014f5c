"""When to try again: pure.

The schedule is the one that Standard Webhooks recommends: ten attempts over a little more than three days. Each wait is spread
by up to a fifth either way, so that what failed together does not come back together. What a receiver asks for in Retry-After
(RFC 9110, section 10.2.3: seconds, or an HTTP date) makes a wait longer, never shorter, and never longer than a day.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

DEFAULT_SCHEDULE: Final[tuple[float, ...]] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Seconds before the first attempt, the second, and so on: as many entries as attempts."""

LONGEST_RETRY_AFTER: Final = timedelta(days=1)
_SPREAD: Final = 0.2
_LONGEST_WAIT: Final = 10 * 365 * 86400.0  # keeps a date in range whatever a schedule says
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?")


def next_attempt_at(schedule: Sequence[float], attempts_made: int, now: datetime, *, retry_after: timedelta | None = None,
                    jitter: float) -> datetime | None:
    """When to make the next attempt, or None where the schedule has no more. `schedule` in seconds, see DEFAULT_SCHEDULE;
    `jitter` from -1 to 1."""
    if attempts_made >= len(schedule):
        return None
    wait = timedelta(seconds=min(schedule[attempts_made] * (1 + _SPREAD * jitter), _LONGEST_WAIT))
    if retry_after is not None:
        wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
    return now + wait


def read_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header asks for, at most a day; None if there is none, or nothing that can be read. A date that has
    passed asks for nothing."""
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=min(float(text), LONGEST_RETRY_AFTER.total_seconds()))
    date = _read_date(text)
    if date is None or date <= now:
        return None
    return min(date - now, LONGEST_RETRY_AFTER)


def _read_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
