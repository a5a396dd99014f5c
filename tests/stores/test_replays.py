"""Replays: which events they take, how far ahead they go, how they end."""

import asyncio
from typing import Any

import pytest

from relay.bell import Bell
from relay.errors import Conflict
from relay.model import Delivery, DeliveryStatus, Event, EventType, Replay, ReplayStatus, Subscription, SubscriptionStatus
from relay.ports.store import Store
from tests.stores.conftest import Opener
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio

LATER = after(hours=1)


async def start(shelf: Shelf, subscription: Subscription, **given: Any) -> Replay:
    replay = Replay(**{"id": shelf.id("rpl"), "account_id": shelf.account_id, "subscription_id": subscription.id, "until": LATER,
                       "created_at": LATER, **given})
    assert await shelf.store.add_replay(replay) == replay
    return replay


async def advance(shelf: Shelf, replay: Replay, ahead: int = 100) -> None:
    """As far as it goes without an attempt."""
    while await shelf.store.advance_replay(replay.id, ahead=ahead, now=LATER):
        pass


async def made(shelf: Shelf, replay: Replay) -> list[Delivery]:
    """Its deliveries, oldest first."""
    return [delivery for delivery in reversed(await shelf.deliveries()) if delivery.replay_id == replay.id]


async def taken(shelf: Shelf, subscription: Subscription, **given: Any) -> list[str]:
    """The events that a replay takes."""
    replay = await start(shelf, subscription, **given)
    await advance(shelf, replay)
    assert (await look(shelf, replay)).total == len(await made(shelf, replay))
    return [delivery.event_id for delivery in await made(shelf, replay)]


async def look(shelf: Shelf, replay: Replay) -> Replay:
    found = await shelf.store.replay(shelf.account_id, replay.id)
    assert found is not None
    return found


async def finished(shelf: Shelf, **given: Any) -> Event:
    """The event of a task that ended."""
    return (await shelf.finish(await shelf.add_open_task(), **given)).events[0]


async def settle_all(shelf: Shelf, **given: Any) -> int:
    jobs = [job async for job in _due(shelf)]
    for job in jobs:
        await shelf.settle(job.delivery, now=LATER, **given)
    return len(jobs)


async def _due(shelf: Shelf) -> Any:
    while jobs := await shelf.claim_jobs(now=LATER):
        for job in jobs:
            yield job


async def test_a_new_subscription_gets_what_happened_before_there_was_one(shelf: Shelf) -> None:
    events = [await finished(shelf) for _ in range(3)]
    subscription = await shelf.subscribe()
    assert await taken(shelf, subscription) == [event.id for event in events]
    [first, *_] = await shelf.deliveries()
    assert (first.status, first.next_attempt_at, first.created_at, first.attempts) == (DeliveryStatus.PENDING, LATER, LATER, 0)


async def test_the_stretch_of_time_has_its_beginning_and_not_its_end(shelf: Shelf) -> None:
    events = [await finished(shelf, now=after(seconds=second)) for second in range(4)]
    subscription = await shelf.subscribe()
    assert await taken(shelf, subscription, since=after(seconds=1), until=after(seconds=3)) == [events[1].id, events[2].id]


async def test_without_a_status_the_filters_of_the_subscription_rule(shelf: Shelf) -> None:
    kie, segmind = await shelf.add_open_task(metadata={"order": 1}), await shelf.add_open_task(provider="segmind", metadata={"order": 1})
    other = await shelf.add_open_task(provider="segmind", metadata={"order": 2})
    events = [(await shelf.finish(task)).events[0].id for task in (kie, segmind, other)]
    assert await taken(shelf, await shelf.subscribe(providers=("segmind",), metadata={"order": "1"})) == [events[1]]
    assert await taken(shelf, await shelf.subscribe(events=("task.failed",))) == []


async def test_types_narrow_what_is_taken(shelf: Shelf) -> None:
    event = await finished(shelf)
    subscription = await shelf.subscribe(events=("*",))
    [ping] = await shelf.store.add_event(shelf.event())
    await settle_all(shelf)
    assert await taken(shelf, subscription, types=("task.*",)) == [event.id]
    await settle_all(shelf)
    assert await taken(shelf, subscription, types=("ping", "task.failed")) == [ping.event_id]


async def test_a_status_is_that_of_the_newest_delivery(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await finished(shelf)
    bad = await finished(shelf)
    for job in await shelf.claim_jobs(limit=9):
        await shelf.settle(job.delivery)
    for job in await shelf.claim_jobs(limit=9):
        status = DeliveryStatus.EXHAUSTED if job.event.id == bad.id else DeliveryStatus.DELIVERED
        await shelf.settle(job.delivery, status=status)
    assert await taken(shelf, subscription, delivery_status=DeliveryStatus.EXHAUSTED) == [bad.id]
    await settle_all(shelf)
    assert await taken(shelf, subscription, delivery_status=DeliveryStatus.EXHAUSTED) == []


async def test_with_a_status_the_filters_that_the_subscription_has_now_do_not_matter(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    [ping] = await shelf.store.add_event(shelf.event(subscription_id=subscription.id))
    await settle_all(shelf, status=DeliveryStatus.EXHAUSTED)
    assert await taken(shelf, subscription) == []
    assert await taken(shelf, subscription, delivery_status=DeliveryStatus.EXHAUSTED) == [ping.event_id]


async def test_what_is_on_its_way_or_was_erased_is_left_out(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    await shelf.finish(task)
    subscription = await shelf.subscribe()
    await finished(shelf)
    await shelf.store.erase_task(shelf.account_id, task.id, now=NOW)
    assert await taken(shelf, subscription) == []


async def test_what_was_held_gives_way_to_the_replay(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    held = await shelf.deliver()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW, keep_held=True)
    assert await taken(shelf, subscription, delivery_status=DeliveryStatus.HELD) == [held.event_id]
    assert (await shelf.delivery(held)).status is DeliveryStatus.CANCELLED


async def test_only_so_many_wait_for_their_first_attempt(shelf: Shelf) -> None:
    for _ in range(10):
        await finished(shelf)
    replay = await start(shelf, await shelf.subscribe())
    await advance(shelf, replay, ahead=4)
    assert len(await made(shelf, replay)) == 4
    assert (await look(shelf, replay)).done == 0
    assert await settle_all(shelf, status=DeliveryStatus.PENDING, next_at=after(days=1)) == 4
    await advance(shelf, replay, ahead=4)
    assert len(await made(shelf, replay)) == 8
    found = await look(shelf, replay)
    assert (found.total, found.done, found.status) == (10, 4, ReplayStatus.RUNNING)


@pytest.mark.parametrize(("fields", "waiting"), [
    ({}, 4), ({"max_concurrent": 2}, 2), ({"max_concurrent": 20}, 4), ({"rate_per_second": 100.0}, 1), ({"ordered": True}, 1),
], ids=["as told", "narrow", "wide", "paced", "ordered"])
async def test_fewer_wait_where_the_subscription_is_sent_to_more_slowly(shelf: Shelf, fields: dict[str, Any], waiting: int) -> None:
    for _ in range(6):
        await finished(shelf)
    replay = await start(shelf, await shelf.subscribe(**fields))
    await advance(shelf, replay, ahead=4)
    assert len(await made(shelf, replay)) == waiting


async def test_what_fails_after_it_was_asked_for_does_not_prolong_it(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    first, second = await finished(shelf), await finished(shelf)
    jobs = {job.event.id: job async for job in _due(shelf)}
    await shelf.settle(jobs[first.id].delivery, status=DeliveryStatus.EXHAUSTED)
    replay = await start(shelf, subscription, delivery_status=DeliveryStatus.EXHAUSTED)
    await shelf.settle(jobs[second.id].delivery, status=DeliveryStatus.EXHAUSTED, now=after(hours=2))
    await advance(shelf, replay)
    assert [delivery.event_id for delivery in await made(shelf, replay)] == [first.id]
    assert (await look(shelf, replay)).total == 1


async def test_it_is_done_once_each_was_attempted(shelf: Shelf, bell: Bell) -> None:
    event = await finished(shelf)
    replay = await start(shelf, await shelf.subscribe())
    await advance(shelf, replay)
    assert (await look(shelf, replay)).status is ReplayStatus.RUNNING
    with bell.listen("replays") as rung:
        await settle_all(shelf)
        assert await rung.wait(0)
    await advance(shelf, replay)
    found = await look(shelf, replay)
    assert (found.status, found.total, found.done, found.completed_at) == (ReplayStatus.DONE, 1, 1, LATER)
    assert [delivery.event_id for delivery in await made(shelf, replay)] == [event.id]
    assert await shelf.store.replays_to_advance() == []


async def test_it_goes_on_after_a_restart_and_makes_none_twice(shelf: Shelf, store: Store, opener: Opener) -> None:
    events = [await finished(shelf) for _ in range(6)]
    replay = await start(shelf, await shelf.subscribe())
    await advance(shelf, replay, ahead=4)
    await store.close()
    shelf.store = await opener(Bell())
    assert list(await shelf.store.replays_to_advance()) == [replay.id]
    await settle_all(shelf)
    await advance(shelf, replay, ahead=4)
    assert [delivery.event_id for delivery in await made(shelf, replay)] == [event.id for event in events]
    await shelf.store.close()


async def test_two_steps_at_once_make_none_twice(shelf: Shelf) -> None:
    events = [await finished(shelf) for _ in range(5)]
    replay = await start(shelf, await shelf.subscribe())
    await shelf.store.advance_replay(replay.id, ahead=9, now=LATER)
    first = shelf.store.advance_replay(replay.id, ahead=9, now=LATER)
    second = shelf.store.advance_replay(replay.id, ahead=9, now=LATER)
    await asyncio.gather(first, second)
    assert [delivery.event_id for delivery in await made(shelf, replay)] == [event.id for event in events]


async def test_it_waits_while_its_subscription_is_not_active(shelf: Shelf, bell: Bell) -> None:
    await finished(shelf)
    subscription = await shelf.subscribe()
    replay = await start(shelf, subscription)
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    assert await shelf.store.replays_to_advance() == []
    await advance(shelf, replay)
    assert await made(shelf, replay) == []
    with bell.listen("replays") as rung:
        await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW)
        assert await rung.wait(0)
    assert list(await shelf.store.replays_to_advance()) == [replay.id]


async def test_one_at_a_time_for_each_subscription(shelf: Shelf) -> None:
    one, other = await shelf.subscribe(), await shelf.subscribe()
    first, second, third = await start(shelf, one), await start(shelf, one), await start(shelf, other)
    assert sorted(await shelf.store.replays_to_advance()) == [first.id, third.id]
    await advance(shelf, first)
    assert sorted(await shelf.store.replays_to_advance()) == [second.id, third.id]


async def test_cancelling_stops_it_and_cancels_what_is_not_done(shelf: Shelf) -> None:
    for _ in range(4):
        await finished(shelf)
    replay = await start(shelf, await shelf.subscribe())
    await advance(shelf, replay, ahead=2)
    [job] = await shelf.claim_jobs(now=LATER, limit=1)
    await shelf.settle(job.delivery, now=LATER)
    cancelled = await shelf.store.cancel_replay(shelf.account_id, replay.id, now=LATER)
    assert cancelled is not None
    assert cancelled == await look(shelf, replay)
    assert (cancelled.status, cancelled.total, cancelled.done, cancelled.completed_at) == (ReplayStatus.CANCELLED, 4, 1, LATER)
    assert [delivery.status for delivery in await made(shelf, replay)] == [DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED]
    assert not await shelf.store.advance_replay(replay.id, ahead=9, now=LATER)
    assert await shelf.store.cancel_replay(shelf.account_id, replay.id, now=after(days=1)) == cancelled


async def test_what_is_done_cannot_be_cancelled(shelf: Shelf) -> None:
    replay = await start(shelf, await shelf.subscribe())
    await advance(shelf, replay)
    assert (await look(shelf, replay)).status is ReplayStatus.DONE
    with pytest.raises(Conflict):
        await shelf.store.cancel_replay(shelf.account_id, replay.id, now=LATER)


async def test_deleting_the_subscription_cancels_it(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    replay = await start(shelf, subscription)
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=LATER)
    assert (await look(shelf, replay)).status is ReplayStatus.CANCELLED
    again = Replay(id="rpl_x", account_id=shelf.account_id, subscription_id=subscription.id, until=LATER, created_at=LATER)
    assert await shelf.store.add_replay(again) is None


async def test_replays_are_listed_newest_first_and_are_nothing_to_others(shelf: Shelf) -> None:
    one, other = await shelf.subscribe(), await shelf.subscribe()
    first, second, third = await start(shelf, one), await start(shelf, other, types=("task.*",)), await start(shelf, one)
    owner, stranger = shelf.account_id, await shelf.add_account("other")
    page = await shelf.store.replays(owner, None, limit=2)
    assert (page.data, page.next_cursor) == ([third, second], second.id)
    assert (await shelf.store.replays(owner, None, limit=2, cursor=page.next_cursor)).data == [first]
    assert (await shelf.store.replays(owner, one.id, limit=9)).data == [third, first]
    assert (await shelf.store.replays(stranger, one.id, limit=9)).data == []
    assert await shelf.store.replay(stranger, first.id) is None
    assert await shelf.store.cancel_replay(stranger, first.id, now=LATER) is None


async def test_events_are_taken_from_a_long_history_in_order(shelf: Shelf) -> None:
    for number in range(450):
        await shelf.store.add_event(shelf.event(type=EventType.PING if number % 3 else EventType.TASK_FAILED))
    subscription = await shelf.subscribe(events=("task.failed",))
    replay = await start(shelf, subscription)
    await advance(shelf, replay, ahead=500)
    assert ((await look(shelf, replay)).total, len(await made(shelf, replay))) == (150, 150)
    ids = [delivery.event_id for delivery in await made(shelf, replay)]
    assert ids == sorted(ids)


async def test_what_stands_in_line_is_looked_at_again_once_its_replay_is_cancelled(shelf: Shelf) -> None:
    await finished(shelf)
    replay = await start(shelf, await shelf.subscribe())
    await advance(shelf, replay)
    [job] = await shelf.claim_jobs(now=LATER)
    assert shelf.store.is_current(job)
    await shelf.store.cancel_replay(shelf.account_id, replay.id, now=LATER)
    assert not shelf.store.is_current(job)
    assert await shelf.store.confirm_job(job) is None
