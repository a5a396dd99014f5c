"""The nouns. Frozen structs without behaviour or I/O; states are StrEnums whose values are the public ones.

A Task is what was asked. A Callback is raw bytes that came in. An Update is what a provider says, read. An Event is what
we tell. A Subscription is who wants to hear it. A Delivery is one event on its way to one subscription. An Attempt is one
try to hand it over.

All times are aware datetimes in UTC. Ids are the prefixed public strings.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct


class TaskStatus(StrEnum):
    """queued -> submitted -> processing -> succeeded | failed. While a submit answer is outstanding: submitted, without a
    provider_task_id."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """A final state never changes again."""
        return self in _FINAL


_FINAL = (TaskStatus.SUCCEEDED, TaskStatus.FAILED)


class Via(StrEnum):
    """How the result of a task reached us."""

    CALLBACK = "callback"
    POLL = "poll"
    RESPONSE = "response"


class ErrorCode(StrEnum):
    """Why a task failed: the closed list that callers can rely on, whatever the provider."""

    MODERATED = "moderated"
    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    RATE_LIMITED = "rate_limited"
    PROVIDER_ERROR = "provider_error"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    TIMEOUT = "timeout"
    OUTCOME_UNKNOWN = "outcome_unknown"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """What became of a callback."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"
    UNREADABLE = "unreadable"
    MISMATCHED = "mismatched"
    UNCONFIRMED = "unconfirmed"


class EventType(StrEnum):
    """Everything that a subscription can ask for."""

    TASK_SUBMITTED = "task.submitted"
    TASK_PROGRESS = "task.progress"
    TASK_SUCCEEDED = "task.succeeded"
    TASK_FAILED = "task.failed"
    SUBSCRIPTION_DISABLED = "subscription.disabled"
    SUBSCRIPTION_RECOVERED = "subscription.recovered"
    DELIVERY_FAILING = "delivery.failing"
    CREDITS_LOW = "provider.credits_low"
    PING = "ping"


class SubscriptionStatus(StrEnum):
    """Only an active subscription is sent to; events for the others are kept as held deliveries."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """gone: the receiver answered 410. failing: nothing but failures for five days."""

    GONE = "gone"
    FAILING = "failing"


class DeliveryStatus(StrEnum):
    """pending -> delivered | exhausted; held while its subscription is not active; cancelled with its subscription."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    HELD = "held"
    CANCELLED = "cancelled"


class ReplayStatus(StrEnum):
    """running -> done | cancelled."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Scope(StrEnum):
    """What a key may do. admin implies all, and may name another account."""

    SUBMIT = "submit"
    READ = "read"
    SUBSCRIBE = "subscribe"
    ADMIN = "admin"


class Account(Struct, frozen=True, kw_only=True):
    """To whom everything belongs. The first one is named `default`. `retention`: seconds that finished things are kept; None: as
    long as the operator says."""

    id: str
    name: str
    created_at: datetime
    retention: float | None = None


class Key(Struct, frozen=True, kw_only=True):
    """An API key without the key: `hash` is hex SHA-256 of it. `via`: drop-in -> the provider that makes its pictures for this key,
    where that is not as the settings say."""

    id: str
    account_id: str
    name: str
    hash: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    via: dict[str, str] = {}


class TaskError(Struct, frozen=True, kw_only=True):
    """Why a task failed; `provider_code` is the provider's own word for it."""

    code: ErrorCode
    message: str
    provider_code: str | None = None


class Picture(Struct, frozen=True, kw_only=True):
    """A picture as a provider gave it: a link, or the bytes themselves (then `content_type` is what their magic says)."""

    url: str | None = None
    data: bytes | None = None
    content_type: str | None = None
    expires_at: datetime | None = None


class Image(Struct, frozen=True, kw_only=True):
    """A picture of a task, recorded. `kept`: the archive has its bytes under `id`, and a signed link of ours opens it.
    Otherwise `source_url` is the provider's link, byte for byte, and `source_expires_at` when that stops working."""

    id: str
    source_url: str | None = None
    source_expires_at: datetime | None = None
    kept: bool = False
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None


class Task(Struct, frozen=True, kw_only=True):
    """What was asked, and how it stands.

    `input` holds the normalized fields that the caller gave (never null ones), `options` among them; an input picture that
    came as bytes stands there as `image:` + the id under which the archive keeps it.
    `accepted`: the provider's answer to the submit call has come (always true of a watched task); `sends`: how often the
    submit request was started. `watched`: the caller's app submits it, Relay does not. `dropin`: the provider in whose place it was
    asked for, by an app that knows it by Relay's id.
    """

    id: str
    account_id: str
    provider: str
    model: str | None = None
    prompt: str | None = None
    input: dict[str, Any] = {}
    status: TaskStatus = TaskStatus.QUEUED
    progress: int | None = None
    images: tuple[Image, ...] = ()
    error: TaskError | None = None
    provider_task_id: str | None = None
    via: Via | None = None
    cost: float | None = None
    metadata: dict[str, Any] = {}
    created_at: datetime
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    accepted: bool = False
    watched: bool = False
    sends: int = 0
    polls: int = 0
    deadline_at: datetime | None = None
    dropin: str | None = None


class Update(Struct, frozen=True, kw_only=True):
    """What a provider says of a task, read from a callback, a poll answer or a held answer.

    `status` is SUBMITTED (accepted), PROCESSING, SUCCEEDED or FAILED; `error` goes with FAILED and `pictures` with
    SUCCEEDED. `cost` is in the provider's credits or currency as it names it; `credits_left` what remains on the account.
    """

    status: TaskStatus
    provider_task_id: str | None = None
    progress: int | None = None
    pictures: tuple[Picture, ...] = ()
    error: TaskError | None = None
    cost: float | None = None
    credits_left: float | None = None


class Callback(Struct, frozen=True, kw_only=True):
    """A callback as it came, with secrets redacted from headers and body. The store fills in `verdict` and `account_id`."""

    id: str
    task_id: str
    account_id: str = ""
    provider: str
    verdict: Verdict
    headers: dict[str, str]
    body: str
    received_at: datetime


class Note(Struct, frozen=True, kw_only=True):
    """A step in the life of a task that is none of the other nouns: a submission that was put off, a poll that failed.
    `kind` is a word such as `submission_deferred`, `poll_failed`; `detail` a sentence without secrets."""

    task_id: str
    at: datetime
    kind: str
    detail: str


class Event(Struct, frozen=True, kw_only=True):
    """What we tell. `body` is the JSON of the `standard` format, frozen when the event is made: the bytes that are signed
    and sent. `subscription_id`: the only subscription it is for (`ping`, a test), else None. `about_id`: the subscription that it
    speaks of, which never hears it."""

    id: str
    account_id: str
    type: EventType
    created_at: datetime
    body: bytes
    task_id: str | None = None
    provider: str | None = None
    metadata: dict[str, Any] = {}
    subscription_id: str | None = None
    about_id: str | None = None


class Subscription(Struct, frozen=True, kw_only=True):
    """Who wants to hear. `events` are globs over event types. `sealed_secret` and the other sealed fields are opened by the
    vault only. `public_key` verifies what `sealed_private_key` signs (`v1a`). The previous ones sign too until
    `previous_secret_until`. `task_id`: the `callback_url` of that one task; such a subscription is not listed and never disabled.
    `failing_since`: the first failure since the last success. `slowness`: how often its rate was halved and not yet doubled
    again. Seconds in `retry_schedule`."""

    id: str
    account_id: str
    url: str
    events: tuple[str, ...] = ("task.succeeded", "task.failed")
    providers: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None
    format: str = "standard"
    description: str | None = None
    sealed_headers: str | None = None
    rate_per_second: float | None = None
    max_concurrent: int | None = None
    ordered: bool = False
    retry_schedule: tuple[float, ...] | None = None
    signatures: tuple[str, ...] = ("v1",)
    template: Any = None
    verify: str | None = None
    allow_cidrs: tuple[str, ...] | None = None
    sealed_secret: str
    previous_sealed_secret: str | None = None
    public_key: str | None = None
    sealed_private_key: str | None = None
    previous_sealed_private_key: str | None = None
    previous_secret_until: datetime | None = None
    sealed_callback_secret: str | None = None
    task_id: str | None = None
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    disabled_reason: DisabledReason | None = None
    failing_since: datetime | None = None
    slowness: int = 0
    created_at: datetime
    deleted_at: datetime | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one subscription. `attempts` counts those made; `next_attempt_at` is null unless pending.
    `manual`: the next attempt was asked for by hand, and its failure does not restart the schedule. `replay_id`: the replay that
    made it."""

    id: str
    account_id: str
    event_id: str
    event_type: EventType
    subscription_id: str
    task_id: str | None = None
    status: DeliveryStatus
    attempts: int = 0
    manual: bool = False
    next_attempt_at: datetime | None = None
    created_at: datetime
    completed_at: datetime | None = None
    replay_id: str | None = None


class Replay(Struct, frozen=True, kw_only=True):
    """Events told once more to one subscription; which, stands in ports/replay.py. `since` is inclusive, `until` is not; `types` are
    globs. `total` is null until the events are counted; `done` counts those whose new delivery was attempted, or needs it no
    more."""

    id: str
    account_id: str
    subscription_id: str
    since: datetime | None = None
    until: datetime
    delivery_status: DeliveryStatus | None = None
    types: tuple[str, ...] | None = None
    status: ReplayStatus = ReplayStatus.RUNNING
    total: int | None = None
    done: int = 0
    created_at: datetime
    completed_at: datetime | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One try. `status_code` is null when no answer came, then `error` says why in words an owner understands.
    `response_body` is the first 4 KiB of the answer, decoded with replacement."""

    id: str
    delivery_id: str
    number: int
    started_at: datetime
    duration_ms: float
    status_code: int | None = None
    error: str | None = None
    response_body: str | None = None


class Change(Struct, frozen=True, kw_only=True):
    """One thing that happened to a task, to be recorded in one transaction.

    `via`: None where we end the task ourselves (cancelled, timeout, outcome unknown).
    `update`: what the provider says, or None where nothing could be read (then `verdict` is `unreadable`). With the verdict
    `unconfirmed` it is not to be believed yet: only the provider's task id is taken from it. `images` are the update's
    pictures, their bytes safely in the archive already.
    `callback`: the raw callback that brought it. `next_at`: when to look at the task again if it stays open; None leaves what
    stands. `releases`: the caller held the task (a submission, a poll) and gives it back.
    """

    task_id: str
    via: Via | None
    now: datetime
    update: Update | None = None
    verdict: Verdict | None = None
    images: tuple[Image, ...] = ()
    callback: Callback | None = None
    next_at: datetime | None = None
    releases: bool = False
    note: Note | None = None
