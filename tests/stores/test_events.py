"""Events that no change made, and events in the order of commit."""

import asyncio

import pytest

from relay.model import DeliveryStatus, EventType, SubscriptionStatus
from relay.ports.store import EventFilter
from tests.stores.making import NOW, Ids, Shelf, after

pytestmark = pytest.mark.anyio


async def test_an_event_comes_back_as_it_was_recorded(shelf: Shelf) -> None:
    body = b'{"\xc3\xa9":"\\u0000"}'
    event = shelf.event(type=EventType.CREDITS_LOW, body=body, provider="kie", metadata={"a": [1]}, task_id="task_sample")
    await shelf.store.add_event(event)
    assert await shelf.store.event(shelf.account_id, event.id) == event


async def test_an_event_is_nothing_to_another_account(shelf: Shelf) -> None:
    event = shelf.event()
    await shelf.store.add_event(event)
    other = await shelf.add_account("other")
    assert await shelf.store.event(other, event.id) is None
    assert (await shelf.store.events(other, EventFilter(), limit=10)).data == []
    assert await shelf.store.events_since(other, None, limit=10) == []
    assert await shelf.store.last_event_id(other) is None


async def test_an_event_goes_to_each_subscription_that_matches(shelf: Shelf) -> None:
    hearing = await shelf.subscribe(events=("provider.*",))
    await shelf.subscribe()
    deliveries = await shelf.store.add_event(shelf.event(type=EventType.CREDITS_LOW))
    assert [delivery.subscription_id for delivery in deliveries] == [hearing.id]
    assert deliveries == await shelf.deliveries()


async def test_an_event_for_one_subscription_goes_there_whatever_its_filters_say(shelf: Shelf) -> None:
    one = await shelf.subscribe(events=("task.failed",), providers=("segmind",))
    await shelf.subscribe(events=("*",))
    [delivery] = await shelf.store.add_event(shelf.event(subscription_id=one.id))
    assert (delivery.subscription_id, delivery.status) == (one.id, DeliveryStatus.PENDING)
    assert await shelf.deliveries() == [delivery]


async def test_an_event_for_a_paused_subscription_is_held(shelf: Shelf) -> None:
    one = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, one.id, SubscriptionStatus.PAUSED, now=NOW)
    [delivery] = await shelf.store.add_event(shelf.event(subscription_id=one.id))
    assert delivery.status is DeliveryStatus.HELD


async def test_an_event_for_a_subscription_that_is_not_there_is_recorded_without_delivery(shelf: Shelf) -> None:
    foreign = await shelf.subscribe()
    await shelf.add_account("other")
    gone = await shelf.subscribe()
    await shelf.store.remove_subscription(shelf.account_id, gone.id, now=NOW)
    for subscription_id in (foreign.id, gone.id, "sub_none"):
        event = shelf.event(subscription_id=subscription_id)
        assert await shelf.store.add_event(event) == []
        assert await shelf.store.event(shelf.account_id, event.id) == event


async def test_events_are_listed_newest_first_in_pages(shelf: Shelf) -> None:
    events = [shelf.event(type=kind, task_id=task) for kind, task in (
        (EventType.PING, None), (EventType.TASK_SUCCEEDED, "task_1"), (EventType.TASK_PROGRESS, "task_1"))]
    for event in events:
        await shelf.store.add_event(event)
    first = await shelf.store.events(shelf.account_id, EventFilter(), limit=2)
    assert first.data == [events[2], events[1]]
    assert (await shelf.store.events(shelf.account_id, EventFilter(), limit=2, cursor=first.next_cursor)).data == [events[0]]
    assert (await shelf.store.events(shelf.account_id, EventFilter(task_id="task_1"), limit=9)).data == [events[2], events[1]]
    both = EventFilter(task_id="task_1", type=EventType.TASK_SUCCEEDED)
    assert (await shelf.store.events(shelf.account_id, both, limit=9)).data == [events[1]]
    assert (await shelf.store.events(shelf.account_id, EventFilter(type=EventType.PING), limit=9)).data == [events[0]]


async def test_a_stream_goes_on_behind_the_event_it_names_in_the_order_of_commit(shelf: Shelf) -> None:
    ids = Ids(100)
    names = [ids("evt") for _ in range(4)]
    committed = [shelf.event(id=name) for name in (names[2], names[0], names[3], names[1])]
    for event in committed:
        await shelf.store.add_event(event)
    assert await shelf.store.events_since(shelf.account_id, None, limit=9) == committed
    assert await shelf.store.events_since(shelf.account_id, names[0], limit=9) == committed[2:]
    assert await shelf.store.events_since(shelf.account_id, names[0], limit=1) == committed[2:3]
    assert await shelf.store.events_since(shelf.account_id, names[1], limit=9) == []
    assert await shelf.store.last_event_id(shelf.account_id) == names[1]


async def test_a_stream_from_an_id_that_is_not_known_goes_by_the_order_of_ids(shelf: Shelf) -> None:
    ids = Ids(100)
    first, unknown, second = (ids("evt") for _ in range(3))
    for name in (first, second):
        await shelf.store.add_event(shelf.event(id=name))
    assert [event.id for event in await shelf.store.events_since(shelf.account_id, unknown, limit=9)] == [second]
    assert await shelf.store.events_since(shelf.account_id, ids("evt"), limit=9) == []


async def test_a_stream_that_is_read_while_events_are_committed_loses_none_and_repeats_none(shelf: Shelf) -> None:
    tasks = [await shelf.add_open_task() for _ in range(40)]
    seen: list[str] = []

    async def read() -> None:
        while len(seen) < len(tasks):
            seen.extend([event.id for event in await shelf.store.events_since(
                shelf.account_id, seen[-1] if seen else None, limit=7)])

    async with asyncio.timeout(20):
        await asyncio.gather(read(), *(shelf.finish(task) for task in tasks))
    assert seen == [event.id for event in await shelf.store.events_since(shelf.account_id, None, limit=100)]
    assert len(set(seen)) == len(tasks)


async def test_an_event_is_dated_by_its_own_time(shelf: Shelf) -> None:
    one = await shelf.subscribe()
    [delivery] = await shelf.store.add_event(shelf.event(subscription_id=one.id, created_at=after(seconds=9)))
    assert (delivery.created_at, delivery.next_attempt_at) == (after(seconds=9), after(seconds=9))
