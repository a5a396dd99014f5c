"""What is left to move when a subscription changes: the mover moves it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import pytest

from relay.bell import Bell
from relay.delivery.moving import Mover
from relay.errors import StoreError
from relay.model import DeliveryStatus, SubscriptionStatus
from relay.ports import DeliveryFilter, Store
from relay.stores.sqlite.move import STEP
from tests.delivery.made import ACCOUNT, now
from tests.delivery.office import Office

pytestmark = pytest.mark.anyio

_MANY = 2 * STEP


@contextlib.asynccontextmanager
async def moving(mover: Mover, bell: Bell) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(mover.run(stopping), name="moves")
        yield
        stopping.set()
        bell.ring_all()


async def paused(office: Office) -> None:
    subscription = await office.subscribe("https://example.com/hook")
    [first] = await office.ping(subscription)
    await asyncio.gather(*(office.store.add_delivery(ACCOUNT, first.event_id, subscription.id, now=now()) for _ in range(_MANY)))
    await office.store.set_subscription_status(ACCOUNT, subscription.id, SubscriptionStatus.PAUSED, now=now())


async def all_moved(office: Office) -> None:
    """The last step rings for the claims."""
    with office.bell.listen("deliveries") as rung:
        assert await rung.wait(15)


class Faulty:
    """A store that cannot be written to once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failed = False

    async def move_deliveries(self) -> bool:
        if not self.failed:
            self.failed = True
            raise StoreError("the disk is full")
        return await self._store.move_deliveries()


@pytest.mark.parametrize("begun", ["before it", "while it waits"])
async def test_what_is_left_is_moved_to_the_end(office: Office, begun: str) -> None:
    if begun == "before it":
        await paused(office)
    async with moving(Mover(office.store, office.bell), office.bell):
        if begun == "while it waits":
            await asyncio.sleep(0)
            await paused(office)
        await all_moved(office)
    assert not await office.store.move_deliveries()
    held = await office.store.deliveries(ACCOUNT, DeliveryFilter(status=DeliveryStatus.HELD), limit=2 * _MANY)
    assert len(held.data) == _MANY + 1


async def test_a_store_that_fails_is_asked_again(office: Office) -> None:
    await paused(office)
    faulty = Faulty(office.store)
    async with moving(Mover(cast("Store", faulty), office.bell), office.bell):
        await all_moved(office)
    assert faulty.failed
