"""What the `data` of each event holds."""

from typing import Final, Literal

from msgspec import Struct

from relay.model import DeliveryStatus, EventType, SubscriptionStatus
from relay.web.shapes import Task, Time


class TaskTold(Struct, frozen=True, kw_only=True):
    """The task as it stood when the event was made."""

    task: Task


class Named(Struct, frozen=True, kw_only=True):
    """Which subscription."""

    id: str


class PingTold(Struct, frozen=True, kw_only=True):
    """The subscription that is being tried."""

    subscription: Named


class SubscriptionState(Struct, frozen=True, kw_only=True):
    """How a subscription fares. What may be a secret in its address is masked."""

    id: str
    url: str
    status: SubscriptionStatus
    disabled_reason: Literal["gone", "failing"] | None
    failing_since: Time | None


class DeliveryState(Struct, frozen=True, kw_only=True):
    """A delivery after its last attempt."""

    id: str
    event_id: str
    event_type: EventType
    task_id: str | None
    status: DeliveryStatus
    attempts: int
    next_attempt_at: Time | None


class SubscriptionTold(Struct, frozen=True, kw_only=True):
    """The subscription, the delivery by which it showed, and what went wrong with it."""

    subscription: SubscriptionState
    delivery: DeliveryState
    last_error: str | None


class CreditsTold(Struct, frozen=True, kw_only=True):
    """What is left on the account with this provider, as it counts."""

    provider: str
    credits_left: float


DATA: Final[dict[EventType, type[Struct]]] = {
    EventType.TASK_SUBMITTED: TaskTold,
    EventType.TASK_PROGRESS: TaskTold,
    EventType.TASK_SUCCEEDED: TaskTold,
    EventType.TASK_FAILED: TaskTold,
    EventType.SUBSCRIPTION_DISABLED: SubscriptionTold,
    EventType.SUBSCRIPTION_RECOVERED: SubscriptionTold,
    EventType.DELIVERY_FAILING: SubscriptionTold,
    EventType.CREDITS_LOW: CreditsTold,
    EventType.PING: PingTold,
}
TOLD: Final = frozenset(DATA.values())
