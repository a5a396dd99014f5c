"""How answers look: the structs behind the schemas of the OpenAPI document, and the making of those that are no task.

A task and what is in it is made by relay.view, since events freeze it; the structs `Task`, `Image` and `TaskError` here describe
it, and a test holds the two together.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from relay import model
from relay.model import DeliveryStatus, ErrorCode, EventType, ReplayStatus, SubscriptionStatus, TaskStatus, Verdict, Via
from relay.ports import Page
from relay.web.duration import write_duration

Time = Annotated[datetime, Meta(tz=True)]


class Empty(Struct, frozen=True):
    """Nothing to say but that it is done."""


class Image(Struct, frozen=True, kw_only=True):
    """`url` always opens until `expires_at`; `source_url` is the provider's link, where there is one."""

    id: str
    url: str | None
    source_url: str | None
    content_type: str | None
    width: int | None
    height: int | None
    size_bytes: int | None
    sha256: str | None
    expires_at: Time | None


class TaskError(Struct, frozen=True, kw_only=True):
    """Why a task failed; `provider_code` is the provider's own word for it."""

    code: ErrorCode
    message: str
    provider_code: str | None


class Task(Struct, frozen=True, kw_only=True):
    """What was asked, and how it stands. A final status (succeeded, failed) never changes."""

    id: str
    provider: str
    model: str | None
    status: TaskStatus
    progress: int | None
    prompt: str | None
    input: dict[str, Any]
    images: list[Image]
    error: TaskError | None
    provider_task_id: str | None
    via: Via | None
    cost: float | None
    metadata: dict[str, Any]
    created_at: Time
    submitted_at: Time | None
    completed_at: Time | None


class NewTask(Task, frozen=True, kw_only=True, omit_defaults=True):
    """A task as its submission is answered. `callback_signing_secret` is shown this once, where there is a `callback_url`."""

    callback_signing_secret: str | None = None


class WatchedTask(NewTask, frozen=True, kw_only=True, omit_defaults=True):
    """Where your app tells its provider to call back, and the secret that it gives along (apiframe). Both are null where no
    callback can come; then the task is polled."""

    provider_callback_url: str | None
    provider_callback_secret: str | None


class Event(Struct, frozen=True, kw_only=True):
    """What subscribers are told. `data` is frozen when the event is made; null once its task was erased."""

    id: str
    type: EventType
    timestamp: Time
    task_id: str | None
    data: Any


class Sample(Struct, frozen=True, kw_only=True):
    """Exactly what a subscriber of format `standard` receives."""

    id: str
    type: EventType
    timestamp: Time
    data: dict[str, Any]


class FlatSample(Struct, frozen=True, kw_only=True):
    """Exactly what a subscriber of format `flat` receives. The task's metadata comes after these as `metadata_KEY`; what is not
    about a task brings names of its own, such as `subscription_id`."""

    id: str
    type: EventType
    timestamp: Time
    task_id: str | None
    status: str | None
    provider: str | None
    model: str | None
    prompt: str | None
    image_url: str | None
    image_urls: list[str]
    error_code: str | None
    error_message: str | None


class EventKind(Struct, frozen=True, kw_only=True):
    """A type of event, fit for a drop-down."""

    name: EventType
    label: str
    value: EventType


class Delivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one subscription. `replay_id`: of the replay that made it."""

    id: str
    event_id: str
    event_type: EventType
    subscription_id: str
    task_id: str | None
    status: DeliveryStatus
    attempts: int
    next_attempt_at: Time | None
    created_at: Time
    completed_at: Time | None
    replay_id: str | None


class Replay(Struct, frozen=True, kw_only=True):
    """Events told once more to one subscription. `total` is null until they are counted; `done` of them were attempted. What was asked
    for: `since`, `until`, `delivery_status` (`status` of the request), `types`."""

    id: str
    subscription_id: str
    status: ReplayStatus
    total: int | None
    done: int
    since: Time | None
    until: Time
    delivery_status: DeliveryStatus | None
    types: list[str] | None
    created_at: Time
    completed_at: Time | None


class Attempt(Struct, frozen=True, kw_only=True):
    """One try to hand an event over. `response_body` is the first 4 KiB of the answer."""

    id: str
    delivery_id: str
    number: int
    started_at: Time
    duration_ms: float
    status_code: int | None
    error: str | None
    response_body: str | None


class Attempts(Struct, frozen=True, kw_only=True):
    """All attempts of one delivery, in one page."""

    data: list[Attempt]
    next_cursor: None = None


class Triggered(Struct, frozen=True, kw_only=True):
    """An event that was asked for, and the deliveries that it made."""

    id: str
    event: Event
    deliveries: list[Delivery]


class Callback(Struct, frozen=True, kw_only=True):
    """What a provider sent, secrets redacted, and what became of it."""

    id: str
    task_id: str
    provider: str
    verdict: Verdict
    headers: dict[str, str]
    body: str
    received_at: Time


class Subscription(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who wants to hear. `secret` signs the deliveries; it is shown on creation, on rotation and at `…/secret`. Values of
    `headers` and the `callback_secret` are masked. `public_key` (`whpk_…`) verifies signatures `v1a`. `retry_schedule` in seconds."""

    id: str
    url: str
    target_url: str
    status: SubscriptionStatus
    disabled_reason: Literal["gone", "failing"] | None
    events: list[str]
    providers: list[str] | None
    metadata: dict[str, Any] | None
    format: str
    description: str | None
    headers: dict[str, str]
    rate_per_second: float | None
    max_concurrent: int | None
    ordered: bool
    retry_schedule: list[float] | None
    signatures: list[str]
    template: Any
    verify: str | None
    allow_cidrs: list[str] | None
    callback_secret: str | None
    public_key: str | None
    task_id: str | None
    failing_since: Time | None
    created_at: Time
    secret: str | None = None


class Secret(Struct, frozen=True, kw_only=True):
    """The signing secret in force, and the public key that verifies signatures `v1a`, where there are any."""

    id: str
    secret: str
    public_key: str | None


class Key(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key; `key` itself is shown on creation only. `via`: drop-in -> the provider that makes its pictures for this key."""

    id: str
    name: str
    scopes: list[model.Scope]
    account: str
    created_at: Time
    via: dict[str, str] | None = None
    key: str | None = None


class Account(Struct, frozen=True, kw_only=True):
    """To whom tasks, events, subscriptions and keys belong. `retention`: how long its finished tasks are kept, such as `90d`; null: as
    long as RELAY_RETENTION says."""

    id: str
    name: str
    created_at: Time
    retention: str | None


class Me(Struct, frozen=True, kw_only=True):
    """The key that this request came with, and the account it acts for."""

    account: str
    key_id: str
    key_name: str
    scopes: list[model.Scope]


class Moment(Struct, frozen=True, kw_only=True):
    """One thing that happened to a task. `id`: of the callback, event, delivery or attempt it speaks of."""

    at: Time
    kind: str
    detail: str
    id: str | None


class Health(Struct, frozen=True, kw_only=True):
    """All is well."""

    status: str = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """All is well. `role`: what the process is for, where it is one of several kinds."""

    status: str = "ok"
    role: str | UnsetType = UNSET


class Receipt(Struct, frozen=True, kw_only=True):
    """The callback is recorded durably."""

    code: int
    msg: str
    verdict: Verdict


def page_of(page: Page, view: Any) -> dict[str, Any]:  # noqa: ANN401 -- a function of one argument; which one depends on the page
    """A stretch of a list as it is answered."""
    return {"data": [view(item) for item in page.data], "next_cursor": page.next_cursor}


def event_view(event: model.Event) -> Event:
    data = msgspec.json.decode(event.body).get("data") if event.body else None
    return Event(id=event.id, type=event.type, timestamp=event.created_at, task_id=event.task_id, data=data)


def delivery_view(delivery: model.Delivery) -> Delivery:
    return msgspec.convert(delivery, Delivery, from_attributes=True)


def attempt_view(attempt: model.Attempt) -> Attempt:
    return msgspec.convert(attempt, Attempt, from_attributes=True)


def callback_view(callback: model.Callback) -> Callback:
    return msgspec.convert(callback, Callback, from_attributes=True)


def account_view(account: model.Account) -> Account:
    retention = None if account.retention is None else write_duration(account.retention)
    return Account(id=account.id, name=account.name, created_at=account.created_at, retention=retention)


def replay_view(replay: model.Replay) -> Replay:
    return Replay(
        id=replay.id, subscription_id=replay.subscription_id, status=replay.status, total=replay.total, done=replay.done,
        since=replay.since, until=replay.until, delivery_status=replay.delivery_status,
        types=None if replay.types is None else list(replay.types), created_at=replay.created_at, completed_at=replay.completed_at)
