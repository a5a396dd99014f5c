"""Callers that wait together: cancelled ones, wrong ones, the last ones."""

import asyncio

import pytest

from relay.bell import Bell
from relay.errors import Conflict, StoreError
from relay.model import Account, Change, DeliveryStatus, TaskStatus, Update, Verdict, Via
from relay.ports.store import TaskFilter
from tests.stores.conftest import Opener
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio


async def test_one_callers_fault_fails_that_caller_alone(shelf: Shelf) -> None:
    await shelf.subscribe()
    tasks = [await shelf.add_open_task() for _ in range(10)]
    wrong = shelf.task(id=tasks[0].id)
    unspeakable = shelf.success(tasks[4], images=(), update=Update(status=TaskStatus.SUCCEEDED, provider_task_id="\ud800"))
    outcomes = await asyncio.gather(
        *(shelf.finish(task) for task in tasks[:4]), shelf.store.add_task(wrong, due_at=NOW), shelf.store.apply(unspeakable),
        *(shelf.finish(task) for task in tasks[5:]),
        shelf.store.add_account(Account(id="acc_x", name="default", created_at=NOW)), shelf.store.add_task(shelf.task(), due_at=NOW),
        return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [StoreError, StoreError, Conflict]
    assert [(await shelf.found(task)).status for task in tasks].count(TaskStatus.SUCCEEDED) == 9
    assert await shelf.found(tasks[4]) == tasks[4]
    assert len(await shelf.deliveries()) == 9


async def test_callers_that_are_cancelled_leave_whole_changes_or_none(shelf: Shelf) -> None:
    await shelf.subscribe()
    tasks = [await shelf.add_open_task() for _ in range(60)]
    calls = [asyncio.create_task(shelf.finish(task)) for task in tasks]
    for index, call in enumerate(calls):
        if index % 3:
            call.cancel()
        if index % 7 == 0:
            await asyncio.sleep(0)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await shelf.store.check()  # whatever was on its way is committed before it
    for index, (task, outcome) in enumerate(zip(tasks, outcomes, strict=True)):
        timeline = await shelf.store.timeline(shelf.account_id, task.id)
        assert timeline is not None
        ended = timeline.task.status is TaskStatus.SUCCEEDED
        assert (len(timeline.callbacks), len(timeline.events), len(timeline.deliveries)) == ((1, 1, 1) if ended else (0, 0, 0))
        assert ended or isinstance(outcome, asyncio.CancelledError)
        assert index % 3 or ended


@pytest.mark.parametrize("turns", range(12))
async def test_what_a_cancelled_caller_claimed_is_not_lost(shelf: Shelf, turns: int) -> None:
    await shelf.subscribe()
    submission, polled = await shelf.add_task(), await shelf.add_open_task(due_at=NOW)
    delivery = await shelf.deliver()
    calls = [asyncio.create_task(call) for call in (shelf.send(), shelf.polls(), shelf.claim_jobs())]
    for _ in range(turns):
        await asyncio.sleep(0.0002)  # the call is cancelled at any stage: queued, inside the transaction, or answered
    for call in calls:
        call.cancel()
    sent, looked, jobs = await asyncio.gather(*calls, return_exceptions=True)
    await shelf.store.check()
    await shelf.store.check()  # behind whatever was given back
    if isinstance(sent, BaseException):
        found = await shelf.found(submission)
        assert (found.status, found.sends, found.submitted_at, found.deadline_at) == (TaskStatus.QUEUED, 0, None, None)
        assert [task.id for task in (await shelf.send()).tasks] == [submission.id]
    if isinstance(looked, BaseException):
        assert await shelf.polls() == [polled.id]
    if isinstance(jobs, BaseException):
        assert [job.delivery.id for job in await shelf.claim_jobs()] == [delivery.id]


async def test_what_is_given_back_for_a_cancelled_caller_rings_for_its_room(shelf: Shelf, bell: Bell) -> None:
    task = await shelf.add_task()
    with bell.listen(f"room:{task.provider}") as room, bell.listen(f"task:{task.id}") as changed:
        call = asyncio.create_task(shelf.send())
        changed.ring = call.cancel  # type: ignore[method-assign, assignment]  # after the commit, before the caller has its claim
        await asyncio.wait([call])
        assert call.cancelled()
        assert await room.wait(5.0)
    assert (await shelf.found(task)).status is TaskStatus.QUEUED


async def test_closing_commits_what_waits(shelf: Shelf, opener: Opener) -> None:
    tasks = [await shelf.add_open_task() for _ in range(20)]
    calls = [asyncio.create_task(shelf.finish(task)) for task in tasks]
    await asyncio.sleep(0)
    await shelf.store.close()
    assert {applied.verdict for applied in await asyncio.gather(*calls)} == {Verdict.APPLIED}
    revived = await opener(Bell())
    ended = await revived.tasks(shelf.account_id, TaskFilter(status=TaskStatus.SUCCEEDED), limit=50)
    await revived.close()
    assert len(ended.data) == 20


async def test_a_closed_store_says_so(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    await shelf.store.close()
    await shelf.store.close()
    with pytest.raises(StoreError):
        await shelf.finish(task)
    with pytest.raises(StoreError):
        await shelf.store.task(shelf.account_id, task.id)
    with pytest.raises(StoreError):
        await shelf.store.check()


async def test_a_store_that_can_be_written_passes_the_check(shelf: Shelf) -> None:
    await shelf.store.check()


async def test_what_was_recorded_is_there_after_opening_again(shelf: Shelf, opener: Opener) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await shelf.store.close()
    revived = await opener(Bell())
    assert await revived.delivery(shelf.account_id, delivery.id) == delivery
    await revived.close()


async def test_each_commit_rings_for_what_it_changed(shelf: Shelf, bell: Bell) -> None:
    subscription = await shelf.subscribe()
    task = shelf.task()
    account = shelf.account_id
    topics = ("submissions", "polls", "deliveries", f"task:{task.id}", f"events:{account}", f"room:{task.provider}")
    with bell.listen(topics[0]) as submissions, bell.listen(topics[1]) as polls, bell.listen(topics[2]) as deliveries, \
            bell.listen(topics[3]) as changed, bell.listen(topics[4]) as events, bell.listen(topics[5]) as room:
        listeners = (submissions, polls, deliveries, changed, events, room)

        async def rung() -> set[str]:
            return {topic.partition(":")[0] for topic, one in zip(topics, listeners, strict=True) if await one.wait(0.0)}

        await rung()
        await shelf.store.add_task(task, due_at=NOW)
        assert await rung() == {"submissions"}
        await shelf.send()
        assert await rung() == {"task"}
        await shelf.store.defer_submission(task.id, until=NOW, note=None)
        assert await rung() >= {"submissions", "task", "room"}
        await shelf.send()
        await rung()
        await shelf.store.schedule(task.id, at=NOW, polled=False)
        assert await rung() == {"polls"}
        await shelf.apply(Change(task_id=task.id, via=Via.RESPONSE, now=NOW, update=Update(status=TaskStatus.SUBMITTED), next_at=NOW))
        assert await rung() >= {"polls", "task", "events"}
        await shelf.finish(task)
        assert await rung() == {"room", "deliveries", "task", "events"}
        [job] = await shelf.claim_jobs()
        assert await rung() == set()
        await shelf.settle(job.delivery, status=DeliveryStatus.PENDING, next_at=after(seconds=5))
        assert await rung() == {"deliveries"}
        await shelf.store.release_deliveries([job.delivery.id])
        assert await rung() == {"deliveries"}
        await shelf.store.add_event(shelf.event(subscription_id=subscription.id))
        assert await rung() == {"deliveries", "events"}
        await shelf.store.add_task(shelf.task(status=TaskStatus.SUBMITTED, accepted=True, watched=True), due_at=None)
        assert await rung() == {"polls"}


async def test_a_ring_comes_after_the_commit(shelf: Shelf, bell: Bell) -> None:
    task = await shelf.add_open_task()
    with bell.listen(f"task:{task.id}") as listener:
        call = asyncio.create_task(shelf.finish(task))
        assert await listener.wait(5.0)
        assert (await shelf.found(task)).status is TaskStatus.SUCCEEDED
        await call
