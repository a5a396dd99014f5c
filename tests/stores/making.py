"""What the store's tests put into it."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from relay.model import (
    Account,
    Attempt,
    Callback,
    Change,
    Delivery,
    DeliveryStatus,
    ErrorCode,
    Event,
    EventType,
    Image,
    Note,
    Subscription,
    Task,
    TaskError,
    TaskStatus,
    Update,
    Verdict,
    Via,
)
from relay.ports.provider import Limits
from relay.ports.store import Applied, Claim, DeliveryFilter, Idempotency, Job, Settlement, Store

NOW = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
DEADLINE = timedelta(minutes=30)


def after(**span: float) -> datetime:
    return NOW + timedelta(**span)


def link(image_id: str, now: datetime) -> tuple[str, datetime]:
    return f"https://relay.example/images/{image_id}", now + timedelta(days=7)


class Ids:
    """Ids in the order in which they were made."""

    def __init__(self, start: int = 500_000) -> None:
        self._numbers = count(start)

    def __call__(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):026d}"


class Shelf:
    """A store, and short words for filling it. Without another word everything belongs to the account added last."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.id = Ids(1)
        self.account_id = ""

    async def add_account(self, name: str) -> str:
        account = await self.store.add_account(Account(id=self.id("acc"), name=name, created_at=NOW))
        self.account_id = account.id
        return account.id

    def task(self, **given: Any) -> Task:
        return Task(**{"id": self.id("task"), "account_id": self.account_id, "provider": "kie", "prompt": "a lighthouse",
                       "created_at": NOW, **given})

    async def add_task(self, *, due_at: datetime | None = NOW, callback: Subscription | None = None,
                       idempotency: Idempotency | None = None, **given: Any) -> Task:
        task, _ = await self.store.add_task(self.task(**given), due_at=due_at, callback=callback, idempotency=idempotency)
        return task

    async def add_open_task(self, *, due_at: datetime | None = None, **given: Any) -> Task:
        """One that was sent and accepted."""
        opened = {"status": TaskStatus.SUBMITTED, "accepted": True, "deadline_at": NOW + DEADLINE}
        return await self.add_task(due_at=due_at, **{**opened, **given})

    async def change(self, subscription: Subscription, *, identity: str) -> Subscription | None:
        """Write it over the one of its id, whatever that has become."""
        return await self.store.change_subscription(
            subscription.account_id, subscription.id, lambda _: subscription, identity=lambda _: identity)

    def subscription(self, **given: Any) -> Subscription:
        return Subscription(**{"id": self.id("sub"), "account_id": self.account_id, "url": "https://a.example/hook",
                               "sealed_secret": "sealed", "created_at": NOW, **given})

    async def claimed(self, **given: Any) -> tuple[Subscription, Delivery]:
        """A subscription with one delivery, which is under way."""
        subscription = await self.subscribe(**given)
        await self.deliver()
        [job] = await self.claim_jobs()
        return subscription, job.delivery

    async def subscribe(self, **given: Any) -> Subscription:
        subscription = self.subscription(**given)
        await self.store.add_subscription(subscription, identity=subscription.id, now=NOW)
        return subscription

    def callback(self, task: Task, **given: Any) -> Callback:
        return Callback(**{"id": self.id("cbk"), "task_id": task.id, "account_id": task.account_id, "provider": task.provider,
                           "verdict": Verdict.APPLIED, "headers": {"x": "y"}, "body": '{"ok":true}', "received_at": NOW, **given})

    def success(self, task: Task, **given: Any) -> Change:
        """A callback that brings the picture."""
        return Change(**{"task_id": task.id, "via": Via.CALLBACK, "now": NOW, "update": Update(status=TaskStatus.SUCCEEDED),
                         "images": (Image(id=self.id("img"), source_url="https://provider.example/1.png"),),
                         "callback": self.callback(task), **given})

    async def finish(self, task: Task, **given: Any) -> Applied:
        return await self.apply(self.success(task, **given))

    async def apply(self, change: Change) -> Applied:
        applied = await self.store.apply(change)
        assert applied is not None
        return applied

    def event(self, **given: Any) -> Event:
        return Event(**{"id": self.id("evt"), "account_id": self.account_id, "type": EventType.PING, "created_at": NOW, "body": b"{}",
                        **given})

    async def deliver(self, *, at: datetime = NOW, **given: Any) -> Delivery:
        """A task that ended, and the delivery of that to the one subscription."""
        task = await self.add_open_task(**given)
        await self.finish(task, now=at)
        [delivery] = await self.deliveries(task_id=task.id)
        return delivery

    async def deliver_to_all(self, *, at: datetime = NOW) -> Task:
        """A task that ended, to as many subscriptions as there are."""
        task = await self.add_open_task()
        await self.finish(task, now=at)
        return task

    async def deliveries(self, **which: Any) -> list[Delivery]:
        found: list[Delivery] = (await self.store.deliveries(self.account_id, DeliveryFilter(**which), limit=200)).data
        return found

    async def delivery(self, delivery: Delivery) -> Delivery:
        found = await self.store.delivery(delivery.account_id, delivery.id)
        assert found is not None
        return found

    async def found(self, task: Task) -> Task:
        found = await self.store.task(task.account_id, task.id)
        assert found is not None
        return found

    async def claim_jobs(self, *, now: datetime = NOW, limit: int = 100, rooms: dict[str, int] | None = None) -> list[Job]:
        return (await self.store.claim_deliveries(limit=limit, now=now, rooms=rooms)).jobs

    async def send(self, *, now: datetime = NOW, limits: Limits | None = None, provider: str = "kie") -> Claim:
        return await self.store.claim_submissions(provider, limits=limits or Limits(), deadline=DEADLINE, now=now)

    async def polls(self, *, now: datetime = NOW, limit: int = 100) -> list[str]:
        return [task.id for task in (await self.store.claim_polls("kie", limit=limit, now=now)).tasks]

    def settlement(self, delivery: Delivery, **given: Any) -> Settlement:
        """A success, unless told otherwise."""
        attempt = Attempt(id=self.id("att"), delivery_id=delivery.id, number=delivery.attempts + 1, started_at=NOW, duration_ms=12.5,
                          status_code=200, response_body="thanks")
        return Settlement(**{"attempt": attempt, "status": DeliveryStatus.DELIVERED, **given})

    async def settle(self, delivery: Delivery, *, now: datetime = NOW, **given: Any) -> None:
        await self.store.settle([self.settlement(delivery, **given)], now=now)


def failure(code: ErrorCode = ErrorCode.MODERATED) -> Update:
    return Update(status=TaskStatus.FAILED, error=TaskError(code=code, message="not this one"))


def progress(percent: int) -> Update:
    return Update(status=TaskStatus.PROCESSING, progress=percent)


def note(task: Task, kind: str = "poll_failed") -> Note:
    return Note(task_id=task.id, at=NOW, kind=kind, detail="no answer")
