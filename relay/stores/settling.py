"""What attempts make of their deliveries, and of the health of the subscriptions that they went to: pure, so that every store decides
alike.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.model import DeliveryStatus, EventType
from relay.ports.store import Settlement
from relay.stores.incident import FAILURES_TOLD, Incident
from relay.stores.row import Row, micros, micros_or_none

_PUT_ASIDE = (DeliveryStatus.HELD, DeliveryStatus.CANCELLED)
_OVER = (DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED)


class Settled(Struct, frozen=True):
    """One call of `settle`."""

    settlements: Sequence[Settlement]
    now: datetime


class Health(Struct):
    """A subscription inside the batch."""

    account_id: str
    is_active: bool
    can_be_disabled: bool
    failing_since: int | None
    failing_before: int | None
    is_ordered: bool
    disabled_reason: str | None = None
    is_troubled: bool = False
    incidents: list[Incident] = []

    @property
    def is_changed(self) -> bool:
        return self.disabled_reason is not None or self.failing_since != self.failing_before


def read_health(row: Row) -> Health:
    """A task's own subscription is never disabled: it dies with its one event."""
    is_active = row["subscription_status"] == "active"
    can_be_disabled = row["task_id"] is None and row["deleted_at"] is None and row["subscription_status"] != "disabled"
    return Health(row["account_id"], is_active, can_be_disabled, row["failing_since"], row["failing_since"], bool(row["ordered"]),
                  is_troubled=bool(row["troubled"]))


def settle(deliveries: Mapping[str, Row], health: Mapping[str, Health], settlement: Settlement, now: datetime) -> dict[str, Any]:
    """The delivery as it is after the attempt; its subscription's health is brought up to date on the way."""
    stood = deliveries[settlement.attempt.delivery_id]
    subscription = health[stood["subscription_id"]]
    status = _status(stood["status"], settlement, subscription)
    if settlement.status is DeliveryStatus.DELIVERED:
        subscription.failing_since = None
    elif subscription.failing_since is None:
        subscription.failing_since = micros(now)
    _note_incidents(subscription, settlement, now)
    if settlement.disable is not None and subscription.can_be_disabled:
        subscription.disabled_reason = settlement.disable.value
    return {
        "id": settlement.attempt.delivery_id, "status": str(status), "completed_at": micros(now) if status in _OVER else None,
        "next_attempt_at": micros_or_none(settlement.next_at or now) if status is DeliveryStatus.PENDING else None,
    }


def _note_incidents(subscription: Health, settlement: Settlement, now: datetime) -> None:
    """What its owner may want to hear of."""
    attempt = settlement.attempt
    if settlement.status is DeliveryStatus.DELIVERED:
        if subscription.is_troubled:
            subscription.is_troubled = False
            subscription.incidents.append(Incident(EventType.SUBSCRIPTION_RECOVERED, attempt, now))
        return
    if attempt.number >= FAILURES_TOLD:
        subscription.incidents.append(Incident(EventType.DELIVERY_FAILING, attempt, now))
    if settlement.disable is not None and subscription.can_be_disabled and subscription.disabled_reason is None:
        subscription.is_troubled = True
        subscription.incidents.append(Incident(EventType.SUBSCRIPTION_DISABLED, attempt, now))


def _status(stood: str, settlement: Settlement, subscription: Health) -> DeliveryStatus:
    if stood in _PUT_ASIDE and settlement.status is not DeliveryStatus.DELIVERED:
        return DeliveryStatus(stood)
    if settlement.status is DeliveryStatus.PENDING and not subscription.is_active:
        return DeliveryStatus.HELD
    return settlement.status
