"""What the `data` of each event holds."""

from typing import Any, Final

from msgspec import Struct

from relay.model import EventType
from relay.web.shapes import Task


class TaskTold(Struct, frozen=True, kw_only=True):
    """The task as it stood when the event was made."""

    task: Task


class Named(Struct, frozen=True, kw_only=True):
    """Which subscription."""

    id: str


class PingTold(Struct, frozen=True, kw_only=True):
    """The subscription that is being tried."""

    subscription: Named


class SubscriptionTold(Struct, frozen=True, kw_only=True):
    """The subscription, with its status and why it was disabled."""

    subscription: dict[str, Any]


class DeliveryTold(Struct, frozen=True, kw_only=True):
    """The delivery that keeps failing, and its subscription."""

    subscription: dict[str, Any]
    delivery: dict[str, Any]


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
    EventType.DELIVERY_FAILING: DeliveryTold,
    EventType.CREDITS_LOW: CreditsTold,
    EventType.PING: PingTold,
}
TOLD: Final = frozenset(DATA.values())
