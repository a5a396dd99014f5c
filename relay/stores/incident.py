"""What owners may be told of, and how often: pure, so that every store tells alike.

Of each kind one is told per subscription and hour; what comes in between is not told later, since whoever was told looks. The
callback_urls of tasks are as many as tasks, so those on one host count as one. A success is told of only where a failure
was told of, or the subscription was disabled.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from relay.model import Attempt, Change, EventType, Subscription

FAILURES_TOLD: Final = 4
"""In a row, of one delivery: its owner is told."""

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
_LOW_CREDITS: Final = 5.0  # as the provider counts: some dozens of pictures with those that tell


class Incident(Struct, frozen=True):
    """Something that may be told, and the attempt that brought it about."""

    kind: EventType
    attempt: Attempt
    now: datetime

    @property
    def is_failure(self) -> bool:
        return self.kind is not EventType.SUBSCRIPTION_RECOVERED

    @property
    def last_error(self) -> str | None:
        return (self.attempt.error or f"answered {self.attempt.status_code}") if self.is_failure else None


def subject_of(subscription: Subscription) -> str:
    """What an hour is counted for."""
    return subscription.id if subscription.task_id is None else urlsplit(subscription.url).netloc


def is_fourth_failure(outcomes: Sequence[bool]) -> bool:
    """Whether exactly so many failures stand at the end of a delivery's attempts. `outcomes`: whether each succeeded, the newest first, one
    more than are told of."""
    return not any(outcomes[:FAILURES_TOLD]) and all(outcomes[FAILURES_TOLD:])


def credits_low(change: Change) -> float | None:
    """How many credits are left, if an update says that there are few."""
    left = change.update.credits_left if change.update else None
    return None if left is None or left >= _LOW_CREDITS else left
