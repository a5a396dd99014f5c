"""What an attempt makes of its delivery: pure.

2xx is success. 410 (of Discord 404 too) says that the receiver is gone for good: the subscription is disabled at once.
Everything else (another status, a redirect, no answer, half an answer, a refused address) is a failure, tried again on the schedule
until that ends. At a failure when nothing but failures came for five days, the subscription is disabled.

The subscription of a task's own `callback_url` is never disabled: it is there for one task, so 410 just ends its delivery.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from relay.delivery.hints import means_gone
from relay.delivery.pace import next_slowness
from relay.model import Attempt, DeliveryStatus, DisabledReason, Subscription
from relay.ports import Job, Settlement
from relay.retry import next_attempt_at

FAILING_AFTER: Final = timedelta(days=5)


class Tried(Struct, frozen=True, kw_only=True):
    """An attempt, and how long the receiver asked us to stay away."""

    attempt: Attempt
    retry_after: timedelta | None = None

    @property
    def is_success(self) -> bool:
        """A whole answer that says 2xx."""
        status = self.attempt.status_code
        return self.attempt.error is None and status is not None and 200 <= status < 300


def judge(tried: Tried, job: Job, *, schedule: Sequence[float], now: datetime, jitter: float) -> Settlement:
    """`schedule`: seconds, of subscriptions without one of their own; `jitter` from -1 to 1. A manual attempt counts like any
    other, so one made behind the end of the schedule leads nowhere but to exhausted again."""
    attempt, subscription, is_success = tried.attempt, job.subscription, tried.is_success
    slowness = next_slowness(subscription, attempt.status_code, is_success=is_success)
    changed = slowness if slowness != subscription.slowness else None
    if is_success:
        return Settlement(attempt=attempt, status=DeliveryStatus.DELIVERED, slowness=changed)
    if subscription.task_id is not None and means_gone(subscription.format, attempt.status_code):
        return Settlement(attempt=attempt, status=DeliveryStatus.EXHAUSTED)
    next_at = next_attempt_at(
        subscription.retry_schedule or schedule, attempt.number, now, retry_after=tried.retry_after, jitter=jitter)
    return Settlement(
        attempt=attempt, status=DeliveryStatus.PENDING if next_at else DeliveryStatus.EXHAUSTED, next_at=next_at,
        disable=_reason_to_disable(attempt, subscription, now), slowness=changed,
    )


def _reason_to_disable(attempt: Attempt, subscription: Subscription, now: datetime) -> DisabledReason | None:
    if subscription.task_id is not None:
        return None
    if means_gone(subscription.format, attempt.status_code):
        return DisabledReason.GONE
    since = subscription.failing_since
    return DisabledReason.FAILING if since is not None and now - since >= FAILING_AFTER else None
