"""Things that the tests of the outbound half are made of."""

import ipaddress
from datetime import UTC, datetime
from typing import Any, Final

from relay.delivery.formats import Formatter
from relay.delivery.sender import Sender
from relay.ids import new_id
from relay.model import Attempt, Delivery, DeliveryStatus, Event, EventType, Subscription, Task, TaskStatus
from relay.net.fetch import GuardedSession
from relay.net.guard import Policy
from relay.ports import Job, Provider
from relay.signing import derive_key, new_webhook_secret
from relay.vault import Vault
from relay.view import ping_event, task_event

LOOPBACK: Final = Policy((ipaddress.ip_network("127.0.0.0/8"),))
VAULT: Final = Vault([derive_key("k" * 32, "vault")])
SECRET: Final = new_webhook_secret()
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT: Final = "acc_1"


def now() -> datetime:
    return datetime.now(UTC)


def link(image_id: str, at: datetime) -> tuple[str, datetime]:
    return f"https://relay.example/images/{image_id}", at


def make_subscription(url: str = "https://example.com/hook", **fields: Any) -> Subscription:
    made: dict[str, Any] = {"id": new_id("sub"), "account_id": ACCOUNT, "sealed_secret": VAULT.seal(SECRET), "created_at": NOW}
    return Subscription(url=url, **(made | fields))


def make_task(**fields: Any) -> Task:
    made: dict[str, Any] = {"id": new_id("task"), "account_id": ACCOUNT, "provider": "apiframe", "prompt": "a lighthouse",
                            "status": TaskStatus.SUCCEEDED, "created_at": NOW, "completed_at": NOW}
    return Task(**(made | fields))


def make_job(subscription: Subscription, *, task: Task | None = None, attempts: int = 0, manual: bool = False) -> Job:
    """A delivery that is due: of the end of `task`, or of a ping."""
    event = task_event(new_id("evt"), EventType.TASK_SUCCEEDED, task, link, NOW) if task else make_ping(subscription)
    delivery = Delivery(
        id=new_id("dlv"), account_id=ACCOUNT, event_id=event.id, event_type=event.type, subscription_id=subscription.id,
        status=DeliveryStatus.PENDING, attempts=attempts, manual=manual, created_at=NOW, next_attempt_at=NOW)
    return Job(delivery=delivery, subscription=subscription, event=event, task=task)


def make_ping(subscription: Subscription) -> Event:
    return ping_event(new_id("evt"), ACCOUNT, subscription.id, now())


def make_attempt(**fields: Any) -> Attempt:
    made: dict[str, Any] = {"id": new_id("att"), "delivery_id": "dlv_1", "number": 1, "started_at": NOW, "duration_ms": 1.0}
    return Attempt(**(made | fields))


def make_sender(session: GuardedSession, *, providers: dict[str, Provider] | None = None, policy: Policy = LOOPBACK, vault: Vault = VAULT,
                timeout: float = 5.0) -> Sender:
    return Sender(
        session=session, formatter=Formatter(providers or {}), vault=vault, policy=policy, clock=now, new_id=new_id, timeout=timeout)
