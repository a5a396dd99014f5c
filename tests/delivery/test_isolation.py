"""Each subscription has its lane: what one receiver does costs the others nothing."""

import asyncio
from typing import cast

import pytest

from relay.model import DeliveryStatus, SubscriptionStatus
from relay.ports import Store
from tests.delivery.made import ACCOUNT, now
from tests.delivery.office import Office, Shim, cancel
from tests.delivery.receiver import OK, SILENT, Answer, Receiver

pytestmark = pytest.mark.anyio


async def test_a_receiver_that_hangs_does_not_hold_up_the_others_and_gets_one_attempt_at_a_time(office: Office) -> None:
    async with Receiver(SILENT) as slow, Receiver() as quick:
        await office.ping(await office.subscribe(slow.url), 50)
        await office.ping(await office.subscribe(quick.url), 20)
        running = asyncio.get_running_loop().create_task(office.worker(places=4).run(asyncio.Event()), name="deliveries")
        await quick.wait_for_requests(20)
        await slow.wait_for_requests(1)
        assert len(slow.requests) == 1
        await cancel(running)


async def test_a_subscription_has_no_more_attempts_under_way_than_its_owner_allows(office: Office) -> None:
    async with Receiver(Answer(pieces=20, pause=0.01)) as receiver:
        await office.ping(await office.subscribe(receiver.url, max_concurrent=3), 60)
        async with office.at_work():
            await receiver.wait_for_requests(60)
        assert receiver.most_at_once == 3


async def test_the_rate_of_a_subscription_spaces_its_attempts(office: Office) -> None:
    loop = asyncio.get_running_loop()
    async with Receiver() as receiver:
        await office.ping(await office.subscribe(receiver.url, rate_per_second=20.0), 6)
        async with office.at_work():
            await receiver.wait_for_requests(1)
            first = loop.time()
            await receiver.wait_for_requests(6)
        assert loop.time() - first > 4 / 20


async def test_a_receiver_that_says_too_much_is_slowed_down_and_that_is_remembered(office: Office) -> None:
    async with Receiver(Answer(status=429), Answer(status=503), Answer(status=500), OK) as receiver:
        subscription = await office.subscribe(receiver.url)
        await office.ping(subscription)
        seen = []
        for number in range(1, 5):
            async with office.at_work(office.worker(schedule=(0.0,) * number)):
                await receiver.wait_for_requests(number)
            seen.append(await office.slowness(subscription))
            for delivery in await office.exhausted():
                await office.store.retry_delivery(ACCOUNT, delivery.id, now=now())
        assert seen == [1, 2, 2, 1]


async def test_an_ordered_subscription_gets_one_at_a_time_and_a_retrying_head_holds_its_task_only(office: Office) -> None:
    async with Receiver(Answer(status=500), OK) as receiver:
        await office.subscribe(receiver.url, ordered=True, events=("task.*",))
        made = [event for _ in range(3) for event in await office.task_events(2)]
        async with office.at_work(office.worker(schedule=(0.0, 0.2, 0.2))):
            requests = await receiver.wait_for_requests(12)
    assert receiver.most_at_once == 1
    seen = [request.headers["webhook-id"] for request in requests]
    assert seen[:3] == made[::2]
    for first, second in zip(made[::2], made[1::2], strict=True):
        assert [one for one in seen if one in (first, second)] == [first, first, second, second]


@pytest.mark.parametrize("ends", ["paused", "removed"])
async def test_what_stands_in_line_is_not_sent_once_its_subscription_is_paused_or_removed(office: Office, ends: str) -> None:
    shim, allowed = Shim(office.store), asyncio.Event()
    allowed.set()
    async with Receiver(Answer(until=allowed)) as receiver:
        subscription = await office.subscribe(receiver.url)
        await office.ping(subscription, 30)
        async with office.at_work(office.worker(cast("Store", shim))):
            await receiver.wait_for_requests(30)
            await receiver.wait_until(lambda receiver: receiver.at_once == 0)
            allowed.clear()
            await office.ping(subscription, 20)
            await receiver.wait_for_requests(38)
            while shim.claimed < 50:
                await asyncio.sleep(0.01)
            if ends == "paused":
                await office.store.set_subscription_status(ACCOUNT, subscription.id, SubscriptionStatus.PAUSED, now=now())
            else:
                await office.store.remove_subscription(ACCOUNT, subscription.id, now=now())
            allowed.set()
        assert len(receiver.requests) == 38
    assert len(shim.released) == 12
    assert await office.number_of(DeliveryStatus.HELD if ends == "paused" else DeliveryStatus.CANCELLED) == 12
