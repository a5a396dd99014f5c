"""Ordered subscriptions: one delivery at a time, those of one task in the order of its events."""

from typing import Any

import msgspec
import pytest

from relay.bell import Bell
from relay.model import Delivery, DeliveryStatus, Subscription, SubscriptionStatus, Task
from tests.stores.making import NOW, Shelf, after, progress

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ordered(shelf: Shelf) -> Subscription:
    return await shelf.subscribe(ordered=True, events=("*",))


async def events_of(shelf: Shelf, task: Task, number: int = 3, *, seconds: float = 0) -> list[Delivery]:
    """So many deliveries of one task: some progress, then its end."""
    for percent in range(1, number):
        await shelf.apply(shelf.success(task, images=(), callback=None, update=progress(percent), now=after(seconds=seconds)))
    await shelf.finish(task, now=after(seconds=seconds))
    return sorted(await shelf.deliveries(task_id=task.id), key=lambda delivery: delivery.id)


async def claimed(shelf: Shelf, **given: Any) -> list[str]:
    return [job.delivery.id for job in await shelf.claim_jobs(**{"now": after(minutes=1), "rooms": {}, **given})]


async def failed(shelf: Shelf, delivery: Delivery, **span: float) -> None:
    await shelf.settle(delivery, status=DeliveryStatus.PENDING, next_at=after(**span))


@pytest.mark.usefixtures("ordered")
async def test_one_at_a_time_in_the_order_of_events(shelf: Shelf) -> None:
    made = await events_of(shelf, await shelf.add_open_task())
    seen = []
    for delivery in made:
        seen += await claimed(shelf)
        assert await claimed(shelf) == []
        await shelf.settle(delivery)
    assert seen == [delivery.id for delivery in made]


async def test_not_more_than_one_whatever_room_there_is(shelf: Shelf, ordered: Subscription) -> None:
    for _ in range(3):
        await events_of(shelf, await shelf.add_open_task(), 1)
    assert len(await claimed(shelf, rooms={ordered.id: 9})) == 1


@pytest.mark.usefixtures("ordered")
async def test_a_retrying_head_holds_the_later_events_of_its_task_and_no_others(shelf: Shelf) -> None:
    held, free = await shelf.add_open_task(), await shelf.add_open_task()
    [head, second, last] = await events_of(shelf, held)
    others = await events_of(shelf, free, 2, seconds=1)
    assert await claimed(shelf) == [head.id]
    await failed(shelf, head, hours=1)
    for other in others:
        assert await claimed(shelf) == [other.id]
        await shelf.settle(other)
    assert await claimed(shelf) == []
    assert await claimed(shelf, now=after(hours=1)) == [head.id]
    await shelf.settle(head)
    assert await claimed(shelf, now=after(hours=1)) == [second.id]
    await shelf.settle(second)
    assert await claimed(shelf, now=after(hours=1)) == [last.id]


@pytest.mark.usefixtures("ordered")
@pytest.mark.parametrize("end", [DeliveryStatus.EXHAUSTED, DeliveryStatus.DELIVERED])
async def test_a_head_that_ended_holds_nothing_any_more(shelf: Shelf, end: DeliveryStatus, bell: Bell) -> None:
    [head, second] = await events_of(shelf, await shelf.add_open_task(), 2)
    await claimed(shelf)
    assert await claimed(shelf) == []
    with bell.listen("deliveries") as rung:
        await shelf.settle(head, status=end)
        assert await rung.wait(1)
    assert await claimed(shelf) == [second.id]


@pytest.mark.usefixtures("ordered")
async def test_the_events_that_wait_keep_their_times_and_a_claim_that_finds_only_them_says_when_to_come_again(shelf: Shelf) -> None:
    [head, *later] = await events_of(shelf, await shelf.add_open_task(), 200)
    await claimed(shelf)
    await failed(shelf, head, hours=1)
    while (claim := await shelf.store.claim_deliveries(limit=9, now=after(minutes=1))).next_at != after(hours=1):
        assert claim.jobs == []
    for delivery in later[:3]:
        assert (await shelf.delivery(delivery)).next_attempt_at == NOW


@pytest.mark.usefixtures("ordered")
async def test_a_retry_by_hand_lets_the_later_events_follow_at_once(shelf: Shelf) -> None:
    [head, second] = await events_of(shelf, await shelf.add_open_task(), 2)
    await claimed(shelf)
    await failed(shelf, head, hours=1)
    assert await claimed(shelf) == []
    await shelf.store.retry_delivery(shelf.account_id, head.id, now=after(seconds=5))
    assert await claimed(shelf) == [head.id]
    await shelf.settle(head)
    assert await claimed(shelf) == [second.id]


async def test_events_that_speak_of_no_task_hold_nothing(shelf: Shelf, ordered: Subscription) -> None:
    pings = [await shelf.store.add_event(shelf.event(subscription_id=ordered.id)) for _ in range(2)]
    [first] = await claimed(shelf)
    assert first == pings[0][0].id
    await failed(shelf, pings[0][0], hours=1)
    assert await claimed(shelf) == [pings[1][0].id]


async def test_what_was_held_comes_in_order_after_the_subscription_is_resumed(shelf: Shelf, ordered: Subscription) -> None:
    [head, second] = await events_of(shelf, await shelf.add_open_task(), 2)
    await claimed(shelf)
    await failed(shelf, head, hours=1)
    assert await claimed(shelf) == []
    for status in (SubscriptionStatus.PAUSED, SubscriptionStatus.ACTIVE):
        await shelf.store.set_subscription_status(shelf.account_id, ordered.id, status, now=after(seconds=9))
    assert await claimed(shelf) == [head.id]
    assert await claimed(shelf) == []
    await shelf.settle(head)
    assert await claimed(shelf) == [second.id]


async def test_once_it_is_not_ordered_any_more_nothing_is_held(shelf: Shelf, ordered: Subscription) -> None:
    [head, second, last] = await events_of(shelf, await shelf.add_open_task())
    await claimed(shelf)
    await failed(shelf, head, hours=1)
    assert await claimed(shelf) == []
    await shelf.change(msgspec.structs.replace(ordered, ordered=False), identity="x")
    assert await claimed(shelf, rooms={ordered.id: 9}) == [second.id, last.id]


async def test_one_task_is_ordered_for_one_subscription_and_not_for_another(shelf: Shelf, ordered: Subscription) -> None:
    other = await shelf.subscribe(events=("*",))
    await events_of(shelf, await shelf.add_open_task())
    jobs = await shelf.claim_jobs(rooms={ordered.id: 9, other.id: 9})
    assert [job.subscription.id for job in jobs].count(ordered.id) == 1
    assert [job.subscription.id for job in jobs].count(other.id) == 3
