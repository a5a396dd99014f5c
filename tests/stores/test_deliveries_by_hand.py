"""Deliveries that somebody asks for, and deliveries looked at."""


import pytest

from relay.errors import Conflict
from relay.model import (
    DeliveryStatus,
    EventType,
    SubscriptionStatus,
    TaskStatus,
)
from relay.ports.store import DeliveryFilter, Figures
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio


async def test_one_more_delivery_of_an_event_is_due_at_once(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    first = await shelf.deliver()
    await shelf.settle(first)
    second = await shelf.store.add_delivery(shelf.account_id, first.event_id, subscription.id, now=after(seconds=3))
    assert second is not None
    assert second.id != first.id
    assert (second.status, second.next_attempt_at, second.attempts) == (DeliveryStatus.PENDING, after(seconds=3), 0)
    assert [job.delivery for job in await shelf.claim_jobs(now=after(seconds=3))] == [second]


async def test_one_more_delivery_to_a_paused_subscription_is_held(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    first = await shelf.deliver()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    second = await shelf.store.add_delivery(shelf.account_id, first.event_id, subscription.id, now=NOW)
    assert second is not None
    assert (second.status, second.next_attempt_at) == (DeliveryStatus.HELD, None)
    assert await shelf.claim_jobs() == []


async def test_one_more_delivery_needs_the_event_and_the_subscription(shelf: Shelf) -> None:
    subscription, gone = await shelf.subscribe(), await shelf.subscribe()
    event = shelf.event()
    await shelf.store.add_event(event)
    await shelf.store.remove_subscription(shelf.account_id, gone.id, now=NOW)
    owner = shelf.account_id
    other = await shelf.add_account("other")
    assert await shelf.store.add_delivery(owner, "evt_none", subscription.id, now=NOW) is None
    assert await shelf.store.add_delivery(owner, event.id, "sub_none", now=NOW) is None
    assert await shelf.store.add_delivery(owner, event.id, gone.id, now=NOW) is None
    assert await shelf.store.add_delivery(other, event.id, subscription.id, now=NOW) is None


@pytest.mark.parametrize("status", [DeliveryStatus.PENDING, DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED])
async def test_a_retry_is_due_at_once_whatever_the_status_was(shelf: Shelf, status: DeliveryStatus) -> None:
    _, delivery = await shelf.claimed()
    await shelf.settle(delivery, status=status, next_at=after(days=1) if status is DeliveryStatus.PENDING else None)
    retried = await shelf.store.retry_delivery(shelf.account_id, delivery.id, now=after(seconds=2))
    assert retried is not None
    assert retried == await shelf.delivery(delivery)
    assert (retried.status, retried.manual, retried.next_attempt_at) == (DeliveryStatus.PENDING, True, after(seconds=2))
    assert (retried.attempts, retried.completed_at) == (1, None)
    [job] = await shelf.claim_jobs(now=after(seconds=2))
    await shelf.settle(job.delivery)
    assert not (await shelf.delivery(delivery)).manual


async def test_a_retry_of_a_held_delivery_is_due_though_its_subscription_is_paused(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    delivery = await shelf.deliver()
    assert await shelf.store.retry_delivery(shelf.account_id, delivery.id, now=NOW)
    assert [job.delivery.id for job in await shelf.claim_jobs()] == [delivery.id]


async def test_a_retry_is_a_conflict_while_an_attempt_is_under_way(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    with pytest.raises(Conflict):
        await shelf.store.retry_delivery(shelf.account_id, delivery.id, now=NOW)


async def test_a_retry_is_a_conflict_once_the_subscription_is_deleted(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    delivery = await shelf.deliver()
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    with pytest.raises(Conflict):
        await shelf.store.retry_delivery(shelf.account_id, delivery.id, now=NOW)


async def test_a_delivery_is_nothing_to_another_account(shelf: Shelf) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    other = await shelf.add_account("other")
    assert await shelf.store.delivery(other, delivery.id) is None
    assert await shelf.store.retry_delivery(other, delivery.id, now=NOW) is None
    for which in (DeliveryFilter(), DeliveryFilter(task_id=delivery.task_id), DeliveryFilter(subscription_id=delivery.subscription_id)):
        assert (await shelf.store.deliveries(other, which, limit=9)).data == []


async def test_deliveries_are_listed_newest_first_in_pages(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    made = [await shelf.deliver(at=after(seconds=number // 2)) for number in range(5)]
    for which in (DeliveryFilter(), DeliveryFilter(subscription_id=subscription.id)):
        first = await shelf.store.deliveries(shelf.account_id, which, limit=3)
        assert first.data == made[:1:-1]
        second = await shelf.store.deliveries(shelf.account_id, which, limit=3, cursor=first.next_cursor)
        assert (second.data, second.next_cursor) == ([made[1], made[0]], None)


async def test_all_given_fields_of_a_filter_must_match(shelf: Shelf) -> None:
    one, other = await shelf.subscribe(), await shelf.subscribe()
    await shelf.finish(await shelf.add_open_task())
    task = await shelf.add_open_task()
    await shelf.finish(task, now=after(seconds=5))
    [ping] = await shelf.store.add_event(shelf.event(subscription_id=one.id))
    await shelf.settle(ping)
    matching = [delivery for delivery in await shelf.deliveries() if (delivery.task_id, delivery.subscription_id) == (task.id, other.id)]
    assert await shelf.deliveries(task_id=task.id, subscription_id=other.id) == matching
    assert await shelf.deliveries(subscription_id=other.id, since=after(seconds=5)) == matching
    assert len(await shelf.deliveries(since=after(seconds=5))) == 2
    assert len(await shelf.deliveries(since=after(seconds=5.000001))) == 0
    assert [found.id for found in await shelf.deliveries(status=DeliveryStatus.DELIVERED)] == [ping.id]
    assert [found.id for found in await shelf.deliveries(event_type=EventType.PING)] == [ping.id]
    assert await shelf.deliveries(event_type=EventType.PING, task_id=task.id) == []


async def test_figures_count_what_is_open_and_what_is_pending(shelf: Shelf) -> None:
    await shelf.subscribe()
    assert await shelf.store.figures(now=NOW) == Figures(open_tasks={}, pending_deliveries=0, oldest_due_seconds=0.0)
    await shelf.add_task()
    await shelf.add_task(provider="segmind")
    await shelf.add_open_task()
    await shelf.add_open_task(status=TaskStatus.PROCESSING)
    done, _ = await shelf.deliver(), await shelf.deliver(at=after(seconds=3))
    await shelf.settle(done)
    figures = await shelf.store.figures(now=after(seconds=10))
    assert figures.open_tasks == {("kie", "queued"): 1, ("segmind", "queued"): 1, ("kie", "submitted"): 1, ("kie", "processing"): 1}
    assert (figures.pending_deliveries, figures.oldest_due_seconds) == (1, 7.0)
    assert (await shelf.store.figures(now=NOW)).oldest_due_seconds == 0.0
