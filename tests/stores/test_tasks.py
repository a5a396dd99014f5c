"""Tasks recorded, looked up, listed and erased."""

import asyncio
from typing import Any

import msgspec
import pytest

from relay.errors import Conflict, StoreError
from relay.model import (
    Attempt,
    DeliveryStatus,
    ErrorCode,
    Image,
    Task,
    TaskError,
    TaskStatus,
    Verdict,
    Via,
)
from relay.ports.store import CallbackFilter, Idempotency, SubscriptionFilter, TaskFilter
from tests.stores.making import NOW, Shelf, after, failure, note

pytestmark = pytest.mark.anyio


async def test_a_task_comes_back_as_it_was_recorded(shelf: Shelf) -> None:
    task = shelf.task(
        model="pro", input={"width": 1024, "options": {"deep": [1, 2.5, None, "é"]}}, status=TaskStatus.SUCCEEDED, progress=100,
        images=(Image(id="img_1", source_url="https://x.example/a", source_expires_at=after(days=1), width=8),),
        provider_task_id="p\x001", via=Via.POLL, cost=0.04, metadata={"order": "A-17", "n": 3, "big": 2**70},
        submitted_at=after(seconds=1), completed_at=after(seconds=2), accepted=True, watched=True, sends=1, polls=2,
        deadline_at=after(minutes=30), dropin="kie")
    assert await shelf.store.add_task(task, due_at=None) == (task, True)
    assert await shelf.found(task) == task


async def test_an_error_comes_back_as_it_was_recorded(shelf: Shelf) -> None:
    error = TaskError(code=ErrorCode.MODERATED, message="no\x00 \u2028", provider_code="400")
    task = await shelf.add_task(status=TaskStatus.FAILED, error=error, completed_at=NOW)
    assert (await shelf.found(task)).error == error


async def test_a_task_is_nothing_to_another_account(shelf: Shelf) -> None:
    task = await shelf.add_task()
    other = await shelf.add_account("other")
    assert await shelf.store.task(other, task.id) is None
    assert await shelf.store.timeline(other, task.id) is None
    assert await shelf.store.erase_task(other, task.id, now=NOW) is None
    assert (await shelf.store.tasks(other, TaskFilter(), limit=10)).data == []
    assert (await shelf.found(task)).prompt == task.prompt


async def test_a_callback_finds_its_task_whatever_the_account(shelf: Shelf) -> None:
    task = await shelf.add_task()
    await shelf.add_account("other")
    assert await shelf.store.task_for_callback(task.id) == task
    assert await shelf.store.task_for_callback("task_none") is None


async def test_a_repeated_key_gives_the_first_task(shelf: Shelf) -> None:
    key = Idempotency(key="k", fingerprint="f")
    first = await shelf.add_task(idempotency=key)
    assert await shelf.store.add_task(shelf.task(), due_at=NOW, idempotency=key) == (first, False)
    assert len((await shelf.store.tasks(shelf.account_id, TaskFilter(), limit=10)).data) == 1


async def test_a_repeated_key_gives_the_task_as_it_stands_now(shelf: Shelf) -> None:
    key = Idempotency(key="k", fingerprint="f")
    first = await shelf.add_task(idempotency=key)
    await shelf.finish(first)
    repeated, is_new = await shelf.store.add_task(shelf.task(), due_at=NOW, idempotency=key)
    assert not is_new
    assert repeated == await shelf.found(first)


async def test_a_repeated_key_with_another_fingerprint_is_a_conflict(shelf: Shelf) -> None:
    await shelf.add_task(idempotency=Idempotency(key="k", fingerprint="f"))
    with pytest.raises(Conflict):
        await shelf.add_task(idempotency=Idempotency(key="k", fingerprint="g"))
    assert len((await shelf.store.tasks(shelf.account_id, TaskFilter(), limit=10)).data) == 1


async def test_the_same_key_at_the_same_instant_makes_one_task(shelf: Shelf) -> None:
    keys = [Idempotency(key="k", fingerprint="f")] * 9 + [Idempotency(key="k", fingerprint="g")]
    outcomes = await asyncio.gather(
        *(shelf.store.add_task(shelf.task(), due_at=NOW, idempotency=key) for key in keys), return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    assert len({task.id for task, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, tuple)] == [Conflict]
    assert len((await shelf.store.tasks(shelf.account_id, TaskFilter(), limit=10)).data) == 1


async def test_a_key_belongs_to_its_account(shelf: Shelf) -> None:
    await shelf.add_task(idempotency=Idempotency(key="k", fingerprint="f"))
    await shelf.add_account("other")
    _, is_new = await shelf.store.add_task(shelf.task(), due_at=NOW, idempotency=Idempotency(key="k", fingerprint="g"))
    assert is_new


async def test_a_task_its_subscription_and_its_key_are_recorded_together_or_not_at_all(shelf: Shelf) -> None:
    task = shelf.task()
    stolen = (await shelf.subscribe()).id
    with pytest.raises(StoreError):
        await shelf.store.add_task(
            task, due_at=NOW, callback=shelf.subscription(id=stolen, task_id=task.id), idempotency=Idempotency(key="k", fingerprint="f"))
    assert await shelf.store.task(task.account_id, task.id) is None
    assert (await shelf.store.add_task(shelf.task(), due_at=NOW, idempotency=Idempotency(key="k", fingerprint="g")))[1]


async def test_the_subscription_of_a_callback_url_is_listed_with_its_task_only(shelf: Shelf) -> None:
    task = shelf.task()
    own = shelf.subscription(task_id=task.id)
    await shelf.store.add_task(task, due_at=NOW, callback=own)
    assert (await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(), limit=10)).data == []
    assert (await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(task_id=task.id), limit=10)).data == [own]
    assert (await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(task_id="task_none"), limit=10)).data == []


async def test_tasks_are_listed_newest_first_in_pages(shelf: Shelf) -> None:
    tasks = [await shelf.add_task(created_at=after(seconds=number // 2)) for number in range(5)]
    first = await shelf.store.tasks(shelf.account_id, TaskFilter(), limit=3)
    assert first.data == tasks[:1:-1]
    second = await shelf.store.tasks(shelf.account_id, TaskFilter(), limit=3, cursor=first.next_cursor)
    assert second.data == [tasks[1], tasks[0]]
    assert second.next_cursor is None


@pytest.mark.parametrize(("which", "expected"), [
    ({"status": TaskStatus.QUEUED}, "abc"), ({"status": TaskStatus.FAILED}, ""), ({"provider": "kie"}, "ac"),
    ({"model": "pro"}, "b"), ({"created_after": NOW}, "bc"), ({"created_before": after(seconds=2)}, "ab"),
    ({"metadata": {"order": "17"}}, "ab"), ({"metadata": {"order": "17", "rush": "true"}}, "a"), ({"metadata": {"none": "1"}}, ""),
    ({"metadata": {"empty": "null"}}, "c"), ({"metadata": {"share": "0.5"}}, "c"),
    ({"provider": "kie", "metadata": {"order": "17"}}, "a"),
], ids=str)
async def test_all_given_fields_of_a_filter_must_match(shelf: Shelf, which: dict[str, Any], expected: str) -> None:
    a = await shelf.add_task(metadata={"order": 17, "rush": True})
    b = await shelf.add_task(provider="segmind", model="pro", metadata={"order": "17", "rush": False}, created_at=after(seconds=1))
    c = await shelf.add_task(metadata={"empty": None, "share": 0.5}, created_at=after(seconds=2))
    names = {a.id: "a", b.id: "b", c.id: "c"}
    found = (await shelf.store.tasks(shelf.account_id, TaskFilter(**which), limit=10)).data
    assert "".join(sorted(names[task.id] for task in found)) == expected


async def test_the_timeline_holds_everything_about_one_task_oldest_first(shelf: Shelf) -> None:
    subscription = await shelf.subscribe(events=("task.*",))
    task, other = await shelf.add_open_task(), await shelf.add_open_task()
    await shelf.store.schedule(task.id, at=after(minutes=1), polled=True, note=note(task))
    await shelf.finish(task, note=note(task, "arrived"))
    await shelf.finish(task)
    await shelf.finish(other)
    [delivery] = await shelf.deliveries(task_id=task.id)
    for number in (1, 2):
        await shelf.settle(msgspec.structs.replace(delivery, attempts=number - 1))
    timeline = await shelf.store.timeline(shelf.account_id, task.id)
    assert timeline is not None
    assert timeline.task == await shelf.found(task)
    assert [entry.kind for entry in timeline.notes] == ["poll_failed", "arrived"]
    assert [callback.verdict for callback in timeline.callbacks] == [Verdict.APPLIED, Verdict.DUPLICATE]
    assert [event.task_id for event in timeline.events] == [task.id]
    assert [(one.id, one.subscription_id) for one in timeline.deliveries] == [(delivery.id, subscription.id)]
    assert [attempt.number for attempt in timeline.attempts] == [1, 2]


async def test_erasing_empties_the_contents_and_keeps_the_rows(shelf: Shelf) -> None:
    await shelf.subscribe()
    task = await shelf.add_open_task(input={"image": "image:img_1"}, metadata={"name": "Ada"})
    await shelf.finish(task)
    [delivery] = await shelf.deliveries(task_id=task.id)
    await shelf.claim_jobs()
    attempt = Attempt(id="att_1", delivery_id=delivery.id, number=1, started_at=NOW, duration_ms=1.0, status_code=500, response_body="Ada")
    await shelf.settle(delivery, attempt=attempt, status=DeliveryStatus.PENDING, next_at=after(seconds=5))
    before = await shelf.found(task)
    assert await shelf.store.erase_task(shelf.account_id, task.id, now=after(seconds=1)) == before
    timeline = await shelf.store.timeline(shelf.account_id, task.id)
    assert timeline is not None
    assert (timeline.task.prompt, timeline.task.input, timeline.task.metadata, timeline.task.images) == (None, {}, {}, ())
    assert timeline.task.status is TaskStatus.SUCCEEDED
    assert [callback.body for callback in timeline.callbacks] == [""]
    assert [(event.body, event.metadata) for event in timeline.events] == [(b"", {})]
    assert [one.response_body for one in timeline.attempts] == [None]
    assert [one.status for one in timeline.deliveries] == [DeliveryStatus.CANCELLED]
    assert await shelf.claim_jobs(now=after(days=1)) == []


async def test_erasing_empties_the_message_of_an_error_and_keeps_its_code(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    await shelf.finish(task, update=failure(), images=())
    await shelf.store.erase_task(shelf.account_id, task.id, now=NOW)
    assert (await shelf.found(task)).error == TaskError(code=ErrorCode.MODERATED, message="")


async def test_erasing_leaves_a_delivery_that_is_done(shelf: Shelf) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await shelf.settle(delivery)
    assert delivery.task_id is not None
    await shelf.store.erase_task(shelf.account_id, delivery.task_id, now=NOW)
    assert (await shelf.delivery(delivery)).status is DeliveryStatus.DELIVERED


async def test_of_a_callback_after_the_erasure_only_that_it_came_is_recorded(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    await shelf.finish(task)
    await shelf.store.erase_task(shelf.account_id, task.id, now=NOW)
    await shelf.finish(task)
    timeline = await shelf.store.timeline(shelf.account_id, task.id)
    assert timeline is not None
    assert [callback.body for callback in timeline.callbacks] == ["", ""]


async def test_callbacks_are_listed_newest_first_in_pages(shelf: Shelf) -> None:
    task, other = await shelf.add_open_task(), await shelf.add_open_task()
    for one in (task, task, other):
        await shelf.finish(one)
    everything = (await shelf.store.callbacks(shelf.account_id, CallbackFilter(), limit=10)).data
    assert [callback.task_id for callback in everything] == [other.id, task.id, task.id]
    first = await shelf.store.callbacks(shelf.account_id, CallbackFilter(), limit=2)
    assert first.data == everything[:2]
    assert (await shelf.store.callbacks(shelf.account_id, CallbackFilter(), limit=2, cursor=first.next_cursor)).data == everything[2:]
    duplicate = CallbackFilter(task_id=task.id, verdict=Verdict.DUPLICATE)
    assert (await shelf.store.callbacks(shelf.account_id, duplicate, limit=10)).data == everything[1:2]
    stranger = await shelf.add_account("other")
    assert (await shelf.store.callbacks(stranger, CallbackFilter(), limit=10)).data == []
    assert (await shelf.store.callbacks(stranger, CallbackFilter(task_id=task.id), limit=10)).data == []


async def test_a_callback_comes_back_as_it_was_recorded(shelf: Shelf) -> None:
    task: Task = await shelf.add_open_task()
    callback = shelf.callback(task, headers={"content-type": "text/plain"}, body="odd \x00 \u2028 \U0001f600")
    await shelf.finish(task, callback=callback)
    assert (await shelf.store.callbacks(shelf.account_id, CallbackFilter(), limit=1)).data == [callback]
