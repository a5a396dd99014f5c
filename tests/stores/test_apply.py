"""What happened to a task, recorded in one step."""

import asyncio
import json

import pytest

from relay.errors import StoreError
from relay.model import Change, DeliveryStatus, EventType, SubscriptionStatus, TaskStatus, Update, Verdict, Via
from relay.ports.store import CallbackFilter, EventFilter
from relay.view import task_event
from tests.stores.making import DEADLINE, NOW, Shelf, after, failure, link, note, progress

pytestmark = pytest.mark.anyio


async def test_a_callback_moves_the_task_and_makes_its_event_and_deliveries(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    task = await shelf.add_open_task(metadata={"order": "17"})
    change = shelf.success(task)
    applied = await shelf.apply(change)
    assert applied.verdict is Verdict.APPLIED
    assert applied.task == await shelf.found(task)
    assert (applied.task.status, applied.task.images, applied.task.via) == (TaskStatus.SUCCEEDED, change.images, Via.CALLBACK)
    [event] = applied.events
    assert event == await shelf.store.event(shelf.account_id, event.id)
    assert event == task_event(event.id, EventType.TASK_SUCCEEDED, applied.task, link, NOW)
    assert json.loads(event.body)["data"]["task"]["id"] == task.id
    [delivery] = await shelf.deliveries()
    assert (delivery.event_id, delivery.subscription_id, delivery.task_id) == (event.id, subscription.id, task.id)
    assert (delivery.status, delivery.next_attempt_at, delivery.attempts) == (DeliveryStatus.PENDING, NOW, 0)


async def test_a_change_of_an_unknown_task_is_none(shelf: Shelf) -> None:
    assert await shelf.store.apply(Change(task_id="task_none", via=Via.POLL, now=NOW, update=failure())) is None


async def test_the_verdict_is_written_into_the_callback(shelf: Shelf) -> None:
    task = await shelf.add_open_task(provider_task_id="p1")
    await shelf.finish(task, update=Update(status=TaskStatus.SUCCEEDED, provider_task_id="p2"))
    await shelf.finish(task, update=None, verdict=Verdict.UNREADABLE, images=())
    await shelf.finish(task)
    await shelf.finish(task)
    await shelf.finish(task, update=failure(), images=())
    recorded = (await shelf.store.callbacks(shelf.account_id, CallbackFilter(), limit=10)).data
    assert [callback.verdict for callback in reversed(recorded)] == [
        Verdict.MISMATCHED, Verdict.UNREADABLE, Verdict.APPLIED, Verdict.DUPLICATE, Verdict.LATE]
    assert len((await shelf.store.events(shelf.account_id, EventFilter(), limit=10)).data) == 1


async def test_fifty_callbacks_at_the_same_instant_make_one_event(shelf: Shelf) -> None:
    for _ in range(3):
        await shelf.subscribe(events=("*",))
    task = await shelf.add_open_task()
    applied = await asyncio.gather(*(shelf.finish(task) for _ in range(50)))
    assert [one.verdict for one in applied].count(Verdict.APPLIED) == 1
    assert [one.verdict for one in applied].count(Verdict.DUPLICATE) == 49
    assert len({one.task.completed_at for one in applied}) == 1
    assert len((await shelf.store.events(shelf.account_id, EventFilter(), limit=10)).data) == 1
    assert len({delivery.subscription_id for delivery in await shelf.deliveries()}) == len(await shelf.deliveries()) == 3
    assert len((await shelf.store.callbacks(shelf.account_id, CallbackFilter(), limit=100)).data) == 50


async def test_changes_of_many_tasks_at_the_same_instant_do_not_mix(shelf: Shelf) -> None:
    tasks = [await shelf.add_open_task() for _ in range(30)]
    changes = [shelf.success(task) if index % 2 else shelf.success(task, update=failure(), images=()) for index, task in enumerate(tasks)]
    applied = await asyncio.gather(*(shelf.apply(change) for change in changes))
    for index, (task, one) in enumerate(zip(tasks, applied, strict=True)):
        assert one.task.id == task.id
        assert one.task.status is (TaskStatus.SUCCEEDED if index % 2 else TaskStatus.FAILED)
        assert one.task == await shelf.found(task)


async def test_progress_and_end_at_the_same_instant_are_seen_by_each_other(shelf: Shelf) -> None:
    await shelf.subscribe(events=("*",))
    task = await shelf.add_open_task()
    changes = [shelf.success(task, update=progress(percent), images=()) for percent in (10, 40, 20, 40)] + [shelf.success(task)]
    applied = await asyncio.gather(*(shelf.apply(change) for change in changes))
    assert [one.verdict for one in applied] == [
        Verdict.APPLIED, Verdict.APPLIED, Verdict.DUPLICATE, Verdict.DUPLICATE, Verdict.APPLIED]
    kinds = [event.type for one in applied for event in one.events]
    assert kinds == [EventType.TASK_PROGRESS, EventType.TASK_PROGRESS, EventType.TASK_SUCCEEDED]
    assert len(await shelf.deliveries()) == 3


async def test_what_is_learnt_of_a_submission_is_kept_beside_changes_that_tell_nothing_of_it(shelf: Shelf) -> None:
    fresh, twice = await shelf.add_task(watched=True), await shelf.add_open_task(submitted_at=NOW)
    known = await shelf.add_open_task(provider_task_id="p2", cost=1.0, submitted_at=NOW)
    accepted = Update(status=TaskStatus.SUBMITTED, provider_task_id="p1", cost=0.5)
    changes = [shelf.success(fresh, update=accepted, images=()), shelf.success(known), shelf.success(twice, update=accepted, images=()),
               shelf.success(twice)]
    applied = await asyncio.gather(*(shelf.apply(change) for change in changes))
    found = [await shelf.found(task) for task in (fresh, known, twice)]
    assert found == [applied[0].task, applied[1].task, applied[3].task]
    assert [(task.provider_task_id, task.cost, task.submitted_at, task.accepted) for task in found] == [
        ("p1", 0.5, NOW, True), ("p2", 1.0, NOW, True), ("p1", 0.5, NOW, True)]


async def test_a_subscription_that_is_not_active_gets_a_held_delivery(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    delivery = await shelf.deliver()
    assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.HELD, None)
    assert await shelf.claim_jobs(now=after(days=1)) == []


async def test_a_tasks_own_subscription_hears_of_that_task_only(shelf: Shelf) -> None:
    task, other = shelf.task(), await shelf.add_open_task()
    own = shelf.subscription(task_id=task.id)
    await shelf.store.add_task(task, due_at=NOW, callback=own)
    await asyncio.gather(shelf.finish(other), shelf.finish(task))
    [delivery] = await shelf.deliveries()
    assert (delivery.subscription_id, delivery.task_id) == (own.id, task.id)


async def test_only_subscriptions_that_match_hear_of_it(shelf: Shelf) -> None:
    hearing = [
        await shelf.subscribe(events=("task.*",)), await shelf.subscribe(providers=("segmind", "kie")),
        await shelf.subscribe(metadata={"order": 17}), await shelf.subscribe(metadata={}),
    ]
    for given in ({"events": ("task.failed",)}, {"providers": ("segmind",)}, {"providers": ()}, {"metadata": {"order": "18"}},
                  {"metadata": {"order": "17", "rush": "true"}}):
        await shelf.subscribe(**given)
    await shelf.finish(await shelf.add_open_task(metadata={"order": "17"}))
    assert sorted(one.subscription_id for one in await shelf.deliveries()) == [one.id for one in hearing]


async def test_subscriptions_of_another_account_hear_nothing(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    other = await shelf.add_account("other")
    await shelf.subscribe(events=("*",))
    await shelf.finish(task)
    assert await shelf.deliveries() == []
    assert (await shelf.store.events(other, EventFilter(), limit=10)).data == []
    assert (await shelf.store.callbacks(other, CallbackFilter(), limit=10)).data == []


async def test_a_change_of_the_filters_counts_from_the_next_event_on(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.finish(await shelf.add_open_task())
    changed = shelf.subscription(id=subscription.id, events=("task.failed",))
    assert await shelf.change(changed, identity="changed")
    await shelf.finish(await shelf.add_open_task())
    assert len(await shelf.deliveries()) == 1
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    await shelf.finish(await shelf.add_open_task(), update=failure(), images=())
    assert len(await shelf.deliveries()) == 1


async def test_the_first_attempt_is_due_by_the_subscriptions_own_schedule(shelf: Shelf) -> None:
    await shelf.subscribe(retry_schedule=(30.0, 60.0))
    delivery = await shelf.deliver()
    assert delivery.next_attempt_at == after(seconds=30)


async def test_a_task_that_ended_is_given_back_and_never_due_again(shelf: Shelf) -> None:
    task = await shelf.add_open_task(due_at=NOW)
    await shelf.polls()
    await shelf.finish(task, next_at=after(seconds=1))
    assert await shelf.polls(now=after(days=1)) == []
    assert await shelf.store.doubtful("kie") == []


async def test_a_late_callback_does_not_make_a_task_due(shelf: Shelf) -> None:
    task = await shelf.add_open_task(provider_task_id="p1")
    await shelf.finish(task)
    await shelf.finish(task, update=Update(status=TaskStatus.PROCESSING, provider_task_id="p2"), next_at=NOW)
    assert await shelf.polls(now=after(days=1)) == []


async def test_next_at_says_when_to_look_again_at_the_deadline_at_the_latest(shelf: Shelf) -> None:
    soon, late = await shelf.add_open_task(), await shelf.add_open_task()
    await shelf.finish(soon, update=progress(10), images=(), next_at=after(seconds=10))
    await shelf.finish(late, update=progress(10), images=(), next_at=after(days=1))
    assert await shelf.polls(now=after(seconds=9)) == []
    assert await shelf.polls(now=after(seconds=10)) == [soon.id]
    assert await shelf.polls(now=NOW + DEADLINE) == [late.id]


async def test_without_next_at_the_time_that_stands_is_left(shelf: Shelf) -> None:
    task = await shelf.add_open_task(due_at=after(seconds=20))
    await shelf.finish(task, update=progress(10), images=())
    assert await shelf.polls(now=after(seconds=19)) == []
    assert await shelf.polls(now=after(seconds=20)) == [task.id]


async def test_a_change_gives_the_task_back_only_if_it_releases(shelf: Shelf) -> None:
    task = await shelf.add_open_task(due_at=NOW)
    await shelf.polls()
    await shelf.finish(task, update=progress(10), images=())
    assert await shelf.polls(now=after(seconds=1)) == []
    await shelf.finish(task, update=progress(20), images=(), releases=True, next_at=after(seconds=5))
    assert await shelf.polls(now=after(seconds=5)) == [task.id]


async def test_an_answer_without_news_is_recorded_and_told_to_nobody(shelf: Shelf) -> None:
    await shelf.subscribe(events=("*",))
    task = await shelf.add_open_task(submitted_at=NOW)
    applied = await shelf.apply(Change(task_id=task.id, via=Via.POLL, now=NOW, update=Update(status=TaskStatus.SUBMITTED), note=note(task)))
    assert (applied.verdict, applied.events) == (Verdict.APPLIED, ())
    timeline = await shelf.store.timeline(shelf.account_id, task.id)
    assert timeline is not None
    assert (len(timeline.notes), timeline.callbacks, timeline.deliveries) == (1, [], [])


async def test_a_change_that_cannot_be_recorded_leaves_no_trace(shelf: Shelf) -> None:
    await shelf.subscribe()
    task, done = await shelf.add_open_task(), await shelf.add_open_task()
    callback = shelf.callback(done)
    await shelf.finish(done, callback=callback)
    with pytest.raises(StoreError):
        await shelf.finish(task, callback=shelf.callback(task, id=callback.id))
    assert await shelf.found(task) == task
    assert await shelf.deliveries(task_id=task.id) == []
    assert (await shelf.store.events(shelf.account_id, EventFilter(task_id=task.id), limit=10)).data == []
    assert (await shelf.finish(task)).verdict is Verdict.APPLIED
