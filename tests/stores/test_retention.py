"""Retention: what goes, what stays, and how much of it there was."""

from datetime import date, datetime, timedelta

import pytest

from relay.model import Account, DeliveryStatus, Replay, ReplayStatus, SubscriptionStatus, TaskStatus
from relay.ports.retention import Count
from relay.ports.store import CallbackFilter, EventFilter, Idempotency, TaskFilter
from tests.stores.making import NOW, Shelf, after, failure, note

pytestmark = pytest.mark.anyio

MONTH = timedelta(days=30)
OLD = after(days=31)
"""When what happened at NOW is over."""


async def prune(shelf: Shelf, *, now: datetime = OLD, limit: int = 200) -> list[int]:
    """Everything whose time is over; how many rows each step removed."""
    steps: list[int] = []
    while tasks := await shelf.store.expired_tasks(retention=MONTH, now=now, limit=50):
        steps.append(await shelf.store.prune_tasks([task.id for task in tasks], limit=limit))
        assert steps[-1]
    while gone := await shelf.store.prune_rest(retention=MONTH, now=now, limit=limit):
        steps.append(gone)
    return steps


async def tasks_left(shelf: Shelf) -> list[str]:
    return [task.id for task in (await shelf.store.tasks(shelf.account_id, TaskFilter(), limit=200)).data]


async def test_a_task_goes_with_all_that_belongs_to_it(shelf: Shelf) -> None:
    task, idempotency = shelf.task(), Idempotency(key="k", fingerprint="f")
    callback = shelf.subscription(task_id=task.id)
    await shelf.subscribe()
    await shelf.store.add_task(task, due_at=NOW, callback=callback, idempotency=idempotency)
    await shelf.finish(task, note=note(task))
    for delivery in await shelf.deliveries():
        await shelf.settle(delivery)
    assert sum(await prune(shelf)) == 2 * 2 + 7  # deliveries and attempts; event, callback, note, own one and its lane, key, task
    assert await shelf.store.timeline(shelf.account_id, task.id) is None
    assert await shelf.deliveries() == []
    assert (await shelf.store.events(shelf.account_id, EventFilter(), limit=9)).data == []
    assert (await shelf.store.callbacks(shelf.account_id, CallbackFilter(), limit=9)).data == []
    assert await shelf.store.subscription(shelf.account_id, callback.id) is None
    _, is_new = await shelf.store.add_task(shelf.task(), due_at=NOW, idempotency=idempotency)
    assert is_new


async def test_the_time_counts_from_the_end_of_the_task(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    await shelf.finish(task, now=after(days=10))
    await prune(shelf, now=after(days=40))
    assert await tasks_left(shelf) == [task.id]
    await prune(shelf, now=after(days=40, seconds=1))
    assert await tasks_left(shelf) == []


async def test_what_is_open_never_goes(shelf: Shelf) -> None:
    left = {(await shelf.add_task()).id, (await shelf.add_open_task()).id, (await shelf.add_open_task(status=TaskStatus.PROCESSING)).id}
    assert await prune(shelf, now=after(days=3650)) == []
    assert set(await tasks_left(shelf)) == left


async def test_what_is_pending_or_held_keeps_its_task(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    delivery = await shelf.deliver()
    assert await prune(shelf) == []
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    assert await prune(shelf) == []
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=OLD)
    await prune(shelf)
    assert await tasks_left(shelf) == []
    with pytest.raises(AssertionError):
        await shelf.delivery(delivery)


async def test_what_was_asked_for_again_meanwhile_stays(shelf: Shelf) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await shelf.settle(delivery, status=DeliveryStatus.EXHAUSTED)
    [task] = await shelf.store.expired_tasks(retention=MONTH, now=OLD, limit=9)
    await shelf.store.retry_delivery(shelf.account_id, delivery.id, now=OLD)
    assert await shelf.store.prune_tasks([task.id], limit=200) == 0
    assert len(await shelf.store.attempts(shelf.account_id, delivery.id)) == 1


async def test_a_step_removes_no_more_than_it_may_and_what_stays_is_whole(shelf: Shelf) -> None:
    for _ in range(3):
        await shelf.subscribe()
    for _ in range(4):
        await shelf.finish(await shelf.add_open_task())
    for delivery in await shelf.deliveries():
        await shelf.settle(delivery)
    steps = await prune(shelf, limit=5)
    assert max(steps) == 5
    assert sum(steps) == 4 * (3 * 2 + 3)  # deliveries and attempts; event, callback, task
    assert await tasks_left(shelf) == []


async def test_counts_stay(shelf: Shelf) -> None:
    for _ in range(2):
        await shelf.finish(await shelf.add_open_task())
    await shelf.finish(await shelf.add_open_task(provider="segmind"), update=failure(), images=())
    await shelf.add_open_task()
    young = await shelf.add_open_task(created_at=after(days=5))
    await shelf.finish(young, now=after(days=5))
    before = await shelf.store.counts(shelf.account_id)
    await prune(shelf)
    assert len(await tasks_left(shelf)) == 2
    await prune(shelf, now=after(days=99))
    first, later = date(2026, 11, 1), date(2026, 11, 6)
    assert await shelf.store.counts(shelf.account_id) == before == [
        Count(day=later, provider="kie", status=TaskStatus.SUCCEEDED, count=1),
        Count(day=first, provider="kie", status=TaskStatus.SUBMITTED, count=1),
        Count(day=first, provider="kie", status=TaskStatus.SUCCEEDED, count=2),
        Count(day=first, provider="segmind", status=TaskStatus.FAILED, count=1),
    ]
    assert await shelf.store.counts(await shelf.add_account("other")) == []


async def test_an_account_may_have_a_time_of_its_own(shelf: Shelf) -> None:
    default = shelf.account_id
    changed = await shelf.store.set_retention(default, timedelta(days=90))
    assert changed == await shelf.store.account(default)
    assert changed is not None
    assert changed.retention == 90 * 86400
    await shelf.finish(await shelf.add_open_task())
    short = (await shelf.store.add_account(Account(id="acc_short", name="short", created_at=NOW, retention=3600.0))).id
    shelf.account_id = short
    await shelf.finish(await shelf.add_open_task())
    await prune(shelf, now=after(hours=1, seconds=1))
    assert await tasks_left(shelf) == []
    shelf.account_id = default
    await prune(shelf)
    assert len(await tasks_left(shelf)) == 1
    back = await shelf.store.set_retention(default, None)
    assert back is not None
    assert back.retention is None
    await prune(shelf)
    assert await tasks_left(shelf) == []
    assert await shelf.store.set_retention("acc_none", None) is None


async def test_events_of_no_task_go_with_their_deliveries(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    old = await shelf.store.add_event(shelf.event(subscription_id=subscription.id))
    young = await shelf.store.add_event(shelf.event(subscription_id=subscription.id, created_at=after(days=2)))
    waiting = await shelf.store.add_event(shelf.event(subscription_id=subscription.id))
    for delivery in (*old, *young):
        await shelf.settle(delivery)
    assert sum(await prune(shelf)) == 3
    assert [delivery.id for delivery in await shelf.deliveries()] == [delivery.id for delivery in (*young, *waiting)]


async def test_a_deleted_subscription_goes_once_nothing_speaks_of_it(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.deliver(at=after(days=20))
    replay = Replay(id="rpl_1", account_id=shelf.account_id, subscription_id=subscription.id, until=NOW, created_at=NOW)
    await shelf.store.add_replay(replay)
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    assert sum(await prune(shelf)) == 1  # the replay
    assert await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=OLD)
    await prune(shelf, now=after(days=51))
    assert not await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=OLD)


async def test_a_replay_goes_when_it_ended_and_not_while_it_runs(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    for number in (1, 2):
        await shelf.store.add_replay(Replay(
            id=f"rpl_{number}", account_id=shelf.account_id, subscription_id=subscription.id, until=NOW, created_at=NOW))
    await shelf.store.cancel_replay(shelf.account_id, "rpl_1", now=NOW)
    await prune(shelf)
    [left] = (await shelf.store.replays(shelf.account_id, None, limit=9)).data
    assert (left.id, left.status) == ("rpl_2", ReplayStatus.RUNNING)


async def test_a_task_to_whose_address_another_tasks_event_went_waits_for_that_one(shelf: Shelf) -> None:
    task = shelf.task()
    callback = shelf.subscription(task_id=task.id)
    await shelf.store.add_task(task, due_at=NOW, callback=callback)
    await shelf.finish(task)
    other = await shelf.add_open_task()
    event = (await shelf.finish(other, now=after(days=9))).events[0]
    extra = await shelf.store.add_delivery(shelf.account_id, event.id, callback.id, now=after(days=9))
    assert extra is not None
    for delivery in await shelf.deliveries():
        await shelf.settle(delivery)
    assert await prune(shelf) == []
    await prune(shelf, now=after(days=40))
    assert await tasks_left(shelf) == []


async def test_a_stream_goes_on_behind_an_event_that_is_gone(shelf: Shelf) -> None:
    old = (await shelf.finish(await shelf.add_open_task())).events[0]
    young = (await shelf.finish(await shelf.add_open_task(), now=after(days=9))).events[0]
    await prune(shelf)
    assert await shelf.store.events_since(shelf.account_id, old.id, limit=9) == [young]


async def test_a_delivery_that_is_gone_cannot_be_retried(shelf: Shelf) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await shelf.settle(delivery)
    await prune(shelf)
    assert await shelf.store.retry_delivery(shelf.account_id, delivery.id, now=OLD) is None
