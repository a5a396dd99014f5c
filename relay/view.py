"""How tasks, images and events look to the outside: the one place that knows their JSON.

An event's body is made here once, when the event is made, and frozen; a task asked for later shows fresh links.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from relay.model import Delivery, Event, EventType, Image, Subscription, Task

Link = Callable[[str, datetime], tuple[str, datetime]]
"""Image id and the present -> (a signed link of ours, when it stops working)."""

_encoder = msgspec.json.Encoder()
_SECRET_PATHS: Final = ("slack", "discord", "ifttt")  # formats whose address is the secret


def to_json(value: Any) -> bytes:  # noqa: ANN401 -- anything that msgspec can encode
    """Compact UTF-8 JSON; aware UTC times come out as RFC 3339 with `Z`."""
    return _encoder.encode(value)


def image_view(image: Image, link: Link, now: datetime) -> dict[str, Any]:
    """`url` always opens: our signed link where the archive keeps the bytes, else the provider's, byte for byte."""
    url, expires_at = link(image.id, now) if image.kept else (image.source_url, image.source_expires_at)
    return {
        "id": image.id, "url": url, "source_url": image.source_url, "content_type": image.content_type,
        "width": image.width, "height": image.height, "size_bytes": image.size_bytes, "sha256": image.sha256,
        "expires_at": expires_at,
    }


def task_view(task: Task, link: Link, now: datetime) -> dict[str, Any]:
    """The task as the API and the events show it."""
    return {
        "id": task.id, "provider": task.provider, "model": task.model, "status": task.status, "progress": task.progress,
        "prompt": task.prompt, "input": _input_view(task.input, link, now),
        "images": [image_view(image, link, now) for image in task.images],
        "error": task.error, "provider_task_id": task.provider_task_id, "via": task.via, "cost": task.cost,
        "metadata": task.metadata,
        "created_at": task.created_at, "submitted_at": task.submitted_at, "completed_at": task.completed_at,
    }


def _input_view(given: dict[str, Any], link: Link, now: datetime) -> dict[str, Any]:
    image = given.get("image")
    if not isinstance(image, str) or not image.startswith("image:"):
        return given
    return {**given, "image": link(image.removeprefix("image:"), now)[0]}


def task_event(event_id: str, kind: EventType, task: Task, link: Link, now: datetime) -> Event:
    """The event that tells of `task` as it stands, its body frozen."""
    body = {"id": event_id, "type": kind, "timestamp": now, "data": {"task": task_view(task, link, now)}}
    return Event(
        id=event_id, account_id=task.account_id, type=kind, created_at=now, body=to_json(body), task_id=task.id,
        provider=task.provider, metadata=task.metadata,
    )


def ping_event(event_id: str, account_id: str, subscription_id: str, now: datetime) -> Event:
    """The event by which an owner tries a subscription."""
    body = {"id": event_id, "type": EventType.PING, "timestamp": now, "data": {"subscription": {"id": subscription_id}}}
    return Event(
        id=event_id, account_id=account_id, type=EventType.PING, created_at=now, body=to_json(body),
        subscription_id=subscription_id,
    )


def subscription_event(event_id: str, kind: EventType, subscription: Subscription, delivery: Delivery, last_error: str | None,
                       now: datetime) -> Event:
    """The event that tells an owner how one of its subscriptions fares, and by which delivery that showed. `last_error`: what went wrong
    with it, in words."""
    data = {
        "subscription": {
            "id": subscription.id, "url": masked_url(subscription), "status": subscription.status,
            "disabled_reason": subscription.disabled_reason, "failing_since": subscription.failing_since,
        },
        "delivery": {
            "id": delivery.id, "event_id": delivery.event_id, "event_type": delivery.event_type, "task_id": delivery.task_id,
            "status": delivery.status, "attempts": delivery.attempts, "next_attempt_at": delivery.next_attempt_at,
        },
        "last_error": last_error,
    }
    return Event(
        id=event_id, account_id=subscription.account_id, type=kind, created_at=now,
        body=to_json({"id": event_id, "type": kind, "timestamp": now, "data": data}), about_id=subscription.id,
    )


def masked_url(subscription: Subscription) -> str:
    """Its address for others to see: what may be a secret in it (the query; of chat services the path, too) is masked."""
    parts = urlsplit(subscription.url)
    path = "/***" if subscription.format in _SECRET_PATHS else parts.path
    return f"{parts.scheme}://{parts.netloc}{path}{'?***' if parts.query else ''}"


def credits_event(event_id: str, account_id: str, provider: str, credits_left: float, now: datetime) -> Event:
    """The event that tells the operator how little is left with a provider, as that counts it."""
    data = {"provider": provider, "credits_left": credits_left}
    return Event(
        id=event_id, account_id=account_id, type=EventType.CREDITS_LOW, created_at=now, provider=provider,
        body=to_json({"id": event_id, "type": EventType.CREDITS_LOW, "timestamp": now, "data": data}),
    )
