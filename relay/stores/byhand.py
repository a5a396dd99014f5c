"""Deliveries that somebody asks for by hand: pure."""

from datetime import datetime

from relay.errors import Conflict
from relay.model import Delivery, DeliveryStatus, Event, Subscription, SubscriptionStatus
from relay.stores.row import Row


def one_more(delivery_id: str, event: Event, subscription: Subscription, now: datetime) -> Delivery:
    """Due at once, or held while the subscription is not active."""
    is_active = subscription.status is SubscriptionStatus.ACTIVE
    return Delivery(
        id=delivery_id, account_id=event.account_id, event_id=event.id, event_type=event.type, subscription_id=subscription.id,
        task_id=event.task_id, status=DeliveryStatus.PENDING if is_active else DeliveryStatus.HELD,
        next_attempt_at=now if is_active else None, created_at=now)


def check_retry(row: Row) -> None:
    """Raises Conflict where a delivery cannot be retried: with `deleted_at` of its subscription, `told_bytes` of its event and whether
    it `is_held`."""
    if row["deleted_at"] is not None:
        raise Conflict("its subscription is deleted")
    if not row["told_bytes"]:
        raise Conflict("what its event said was erased with its task")
    if row["is_held"]:
        raise Conflict("an attempt is under way")
