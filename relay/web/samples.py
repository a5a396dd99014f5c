"""Realistic events that nobody caused: for trying a subscription, and for platforms that learn fields from an example."""

from datetime import datetime
from typing import Any, Final

from relay.model import ErrorCode, Event, EventType, Image, Task, TaskError, TaskStatus, Via
from relay.view import Link, task_event, to_json

_TASK_TYPES: Final = (EventType.TASK_SUBMITTED, EventType.TASK_PROGRESS, EventType.TASK_SUCCEEDED, EventType.TASK_FAILED)
_PROVIDER: Final = "apiframe"
_SUBSCRIPTION: Final = {"id": "sub_00000000000000000000000000", "url": "https://example.com/hooks/relay"}


def sample_event(kind: EventType, event_id: str, account_id: str, link: Link, now: datetime) -> Event:
    """An event of this type, addressed to nobody in particular. It names no task that is stored."""
    if kind in _TASK_TYPES:
        told = task_event(event_id, kind, _task(kind, account_id, now), link, now)
        return Event(id=told.id, account_id=account_id, type=kind, created_at=now, body=told.body, provider=_PROVIDER)
    body = to_json({"id": event_id, "type": kind, "timestamp": now, "data": _data(kind, now)})
    return Event(id=event_id, account_id=account_id, type=kind, created_at=now, body=body)


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


def _data(kind: EventType, now: datetime) -> dict[str, Any]:
    if kind is EventType.PING:
        return {"subscription": {"id": _SUBSCRIPTION["id"]}}
    if kind is EventType.CREDITS_LOW:
        return {"provider": _PROVIDER, "credits_left": 12.5}
    if kind is EventType.DELIVERY_FAILING:
        delivery = {"id": "dlv_00000000000000000000000000", "status": "pending", "attempts": 4, "next_attempt_at": now}
        return {"subscription": _SUBSCRIPTION, "delivery": delivery}
    is_disabled = kind is EventType.SUBSCRIPTION_DISABLED
    return {"subscription": {**_SUBSCRIPTION, "status": "disabled" if is_disabled else "active",
                             "disabled_reason": "failing" if is_disabled else None}}
