"""Realistic events that nobody caused: for trying a subscription, and for platforms that learn fields from an example."""

from datetime import datetime
from typing import Final

import msgspec

from relay.model import (
    Delivery,
    DeliveryStatus,
    DisabledReason,
    ErrorCode,
    Event,
    EventType,
    Image,
    Subscription,
    SubscriptionStatus,
    Task,
    TaskError,
    TaskStatus,
    Via,
)
from relay.view import Link, credits_event, ping_event, subscription_event, task_event

_TASK_TYPES: Final = (EventType.TASK_SUBMITTED, EventType.TASK_PROGRESS, EventType.TASK_SUCCEEDED, EventType.TASK_FAILED)
_PROVIDER: Final = "apiframe"
_SUBSCRIPTION_ID: Final = "sub_00000000000000000000000000"


def sample_event(kind: EventType, event_id: str, account_id: str, link: Link, now: datetime) -> Event:
    """An event of this type, addressed to nobody in particular. It names no task that is stored."""
    if kind in _TASK_TYPES:
        told = task_event(event_id, kind, _task(kind, account_id, now), link, now)
        return Event(id=told.id, account_id=account_id, type=kind, created_at=now, body=told.body, provider=_PROVIDER)
    if kind is EventType.PING:
        return msgspec.structs.replace(ping_event(event_id, account_id, _SUBSCRIPTION_ID, now), subscription_id=None)
    if kind is EventType.CREDITS_LOW:
        return credits_event(event_id, account_id, _PROVIDER, 2.5, now)
    return msgspec.structs.replace(_owners_event(kind, event_id, account_id, now), about_id=None)


def sample_task(kind: EventType, account_id: str, now: datetime) -> Task | None:
    """The task that a sample of this type tells of, if of any."""
    return _task(kind, account_id, now) if kind in _TASK_TYPES else None


def _task(kind: EventType, account_id: str, now: datetime) -> Task:
    status, progress = {
        EventType.TASK_SUBMITTED: (TaskStatus.SUBMITTED, None),
        EventType.TASK_PROGRESS: (TaskStatus.PROCESSING, 40),
        EventType.TASK_SUCCEEDED: (TaskStatus.SUCCEEDED, 100),
        EventType.TASK_FAILED: (TaskStatus.FAILED, None),
    }[kind]
    failure = TaskError(code=ErrorCode.MODERATED, message="The prompt was refused by the provider's moderation.", provider_code="moderated")
    return Task(
        id="task_00000000000000000000000000", account_id=account_id, provider=_PROVIDER, model="flux-pro-1.1",
        prompt="a lighthouse at dusk",
        input={"width": 1024, "height": 768, "seed": 42}, status=status, progress=progress,
        images=(_image(),) if status is TaskStatus.SUCCEEDED else (),
        error=failure if status is TaskStatus.FAILED else None,
        provider_task_id="29e983ca-7e86-4017-a9e3-ef6fe9cd5f2a", via=Via.CALLBACK if status.is_final else None,
        metadata={"order": "A-17"}, created_at=now, submitted_at=now, completed_at=now if status.is_final else None, accepted=True,
    )


def _image() -> Image:
    return Image(id="img_00000000000000000000000000", source_url="https://cdn.example.com/lighthouse.png", content_type="image/png",
                 width=1024, height=768)


def _owners_event(kind: EventType, event_id: str, account_id: str, now: datetime) -> Event:
    is_disabled, is_well = kind is EventType.SUBSCRIPTION_DISABLED, kind is EventType.SUBSCRIPTION_RECOVERED
    subscription = Subscription(
        id=_SUBSCRIPTION_ID, account_id=account_id, url="https://example.com/hooks/relay", sealed_secret="", created_at=now,
        status=SubscriptionStatus.DISABLED if is_disabled else SubscriptionStatus.ACTIVE,
        disabled_reason=DisabledReason.FAILING if is_disabled else None, failing_since=None if is_well else now)
    status = DeliveryStatus.HELD if is_disabled else DeliveryStatus.DELIVERED if is_well else DeliveryStatus.PENDING
    delivery = Delivery(
        id="dlv_00000000000000000000000000", account_id=account_id, event_id="evt_00000000000000000000000000",
        event_type=EventType.TASK_SUCCEEDED, subscription_id=_SUBSCRIPTION_ID, task_id="task_00000000000000000000000000", status=status,
        attempts=5 if is_well else 4, next_attempt_at=now if status is DeliveryStatus.PENDING else None, created_at=now)
    return subscription_event(event_id, kind, subscription, delivery, None if is_well else "answered 500", now)
