"""A store, and all that a worker needs beside it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay.bell import Bell
from relay.delivery.sender import Sender
from relay.delivery.worker import DeliveryWorker
from relay.errors import StoreError
from relay.ids import new_id
from relay.model import Attempt, Delivery, DeliveryStatus, EventType, Subscription
from relay.net.fetch import GuardedSession
from relay.ports import DeliveryFilter, Job, JobClaim, Settlement, Store, Taker
from relay.view import task_event
from tests.delivery.made import ACCOUNT, link, make_ping, make_sender, make_subscription, make_task, now

AT_ONCE = (0.0, 0.0, 0.0)


class Office:
    """A store with an account, and what a worker needs beside it."""

    def __init__(self, store: Store, bell: Bell, session: GuardedSession) -> None:
        self.store = store
        self.bell = bell
        self.sender: Sender = make_sender(session)

    async def subscribe(self, url: str, **fields: Any) -> Subscription:
        made, _ = await self.store.add_subscription(make_subscription(url, **fields), identity=new_id("sub"), now=now())
        return made

    async def failing(self, url: str) -> Subscription:
        """One that has failed for a minute."""
        return await self.subscribe(url, failing_since=now() - timedelta(minutes=1))

    async def slowness(self, subscription: Subscription) -> int:
        found = await self.store.subscription(ACCOUNT, subscription.id)
        assert found is not None
        return found.slowness

    async def exhausted(self) -> list[Delivery]:
        found: list[Delivery] = (await self.store.deliveries(ACCOUNT, DeliveryFilter(status=DeliveryStatus.EXHAUSTED), limit=500)).data
        return found

    async def task_events(self, number: int) -> list[str]:
        """So many events of one task: their ids."""
        task = make_task()
        events = [task_event(new_id("evt"), EventType.TASK_PROGRESS, task, link, now()) for _ in range(number)]
        for event in events:
            await self.store.add_event(event)
        return [event.id for event in events]

    async def ping(self, subscription: Subscription, number: int = 1) -> list[Delivery]:
        return [delivery for _ in range(number) for delivery in await self.store.add_event(make_ping(subscription))]

    def worker(self, store: Store | None = None, **options: Any) -> DeliveryWorker:
        given: dict[str, Any] = {"clock": now, "jitter": lambda: 0.0, "schedule": AT_ONCE} | options
        return DeliveryWorker(store or self.store, self.bell, given.pop("sender", self.sender), **given)

    @contextlib.asynccontextmanager
    async def at_work(self, worker: DeliveryWorker | None = None) -> AsyncIterator["asyncio.Task[None]"]:
        """The worker runs; at the end it is stopped and has settled everything."""
        stopping = asyncio.Event()
        async with asyncio.timeout(15), asyncio.TaskGroup() as group:
            task = group.create_task((worker or self.worker()).run(stopping), name="deliveries")
            yield task
            stopping.set()

    async def delivery(self, delivery: Delivery) -> Delivery:
        found = await self.store.delivery(ACCOUNT, delivery.id)
        assert found is not None
        return found

    async def attempts(self, delivery: Delivery) -> list[Attempt]:
        return await self.store.attempts(ACCOUNT, delivery.id)

    async def number_of(self, status: DeliveryStatus) -> int:
        return len((await self.store.deliveries(ACCOUNT, DeliveryFilter(status=status), limit=5000)).data)


class Shim:
    """The real store, but what a test changes about it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.claims = 0
        self.claimed = 0
        self.batches: list[int] = []
        self.released: list[str] = []
        self.fails_to_claim = 0
        self.fails_to_settle = 0

    async def claim_deliveries(self, *, limit: int, now: datetime, rooms: Mapping[str, int] | None = None) -> JobClaim:
        self.claims += 1
        if self.fails_to_claim:
            self.fails_to_claim -= 1
            raise StoreError("the disk is full")
        claim = await self._store.claim_deliveries(limit=limit, now=now, rooms=rooms)
        self.claimed += len(claim.jobs)
        return claim

    def hand_to(self, taker: Taker | None) -> None:
        self._store.hand_to(taker)

    def is_current(self, job: Job) -> bool:
        return self._store.is_current(job)

    async def confirm_job(self, job: Job) -> Job | None:
        return await self._store.confirm_job(job)

    async def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:
        self.batches.append(len(settlements))
        if self.fails_to_settle:
            self.fails_to_settle -= 1
            raise StoreError("the disk is full")
        await self._store.settle(settlements, now=now)

    async def release_deliveries(self, delivery_ids: Sequence[str]) -> None:
        self.released.extend(delivery_ids)
        await self._store.release_deliveries(delivery_ids)


async def cancel(running: "asyncio.Task[None]") -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
