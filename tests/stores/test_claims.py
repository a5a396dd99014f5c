"""Tasks taken up and given back: submissions within the limits, polls at their time."""

import asyncio

import pytest

from relay.bell import Bell
from relay.model import TaskStatus, Update, Verdict, Via
from relay.ports.provider import Limits, Rate
from relay.ports.store import Store
from tests.stores.conftest import Opener
from tests.stores.making import DEADLINE, NOW, Shelf, after, note

pytestmark = pytest.mark.anyio


async def test_a_claimed_submission_is_marked_as_sent(shelf: Shelf) -> None:
    task = await shelf.add_task()
    [claimed] = (await shelf.send(now=after(seconds=1))).tasks
    assert claimed == await shelf.found(task)
    assert (claimed.status, claimed.submitted_at, claimed.sends) == (TaskStatus.SUBMITTED, after(seconds=1), 1)
    assert claimed.deadline_at == after(seconds=1) + DEADLINE
    assert not claimed.accepted


async def test_nothing_that_is_held_is_claimed_twice(shelf: Shelf) -> None:
    tasks = [await shelf.add_task() for _ in range(20)]
    claims = await asyncio.gather(*(shelf.send(limits=Limits(max_concurrent=20)) for _ in range(10)))
    assert sorted(task.id for claim in claims for task in claim.tasks) == sorted(task.id for task in tasks)


async def test_submissions_are_claimed_oldest_first(shelf: Shelf) -> None:
    late = await shelf.add_task(created_at=after(seconds=-1), due_at=after(seconds=-1))
    early = await shelf.add_task(created_at=after(seconds=-5))
    later = await shelf.add_task(created_at=after(seconds=-1))
    assert [task.id for task in (await shelf.send()).tasks] == [early.id, late.id, later.id]


async def test_a_submission_is_claimed_when_it_is_due_and_not_before(shelf: Shelf) -> None:
    task = await shelf.add_task(due_at=after(seconds=5))
    early = await shelf.send(now=after(seconds=4.999))
    assert (early.tasks, early.next_at, early.due_since) == ([], after(seconds=5), None)
    claim = await shelf.send(now=after(seconds=7))
    assert [claimed.id for claimed in claim.tasks] == [task.id]
    assert (claim.next_at, claim.due_since) == (None, after(seconds=5))


async def test_a_claim_is_about_one_provider(shelf: Shelf) -> None:
    await shelf.add_task(provider="segmind")
    claim = await shelf.send(provider="kie")
    assert (claim.tasks, claim.next_at) == ([], None)


async def test_running_tasks_count_against_max_concurrent(shelf: Shelf) -> None:
    await shelf.add_open_task()
    await shelf.add_open_task(status=TaskStatus.PROCESSING)
    await shelf.add_open_task(provider="segmind")
    await shelf.add_open_task(watched=True)
    for _ in range(3):
        await shelf.add_task()
    claim = await shelf.send(limits=Limits(max_concurrent=3))
    assert len(claim.tasks) == 1
    assert claim.next_at is None


async def test_a_task_that_ended_makes_room(shelf: Shelf) -> None:
    limits = Limits(max_concurrent=1)
    running, waiting = await shelf.add_task(), await shelf.add_task()
    assert [task.id for task in (await shelf.send(limits=limits)).tasks] == [running.id]
    assert (await shelf.send(limits=limits)).tasks == []
    await shelf.finish(running)
    assert [task.id for task in (await shelf.send(limits=limits)).tasks] == [waiting.id]


async def test_a_claim_is_full_where_queued_tasks_wait_for_others_to_end(shelf: Shelf) -> None:
    one, two = Limits(max_concurrent=1, rate=Rate(9, 10.0)), Limits(max_concurrent=2)
    assert not (await shelf.send(limits=Limits(max_concurrent=0))).is_full
    await shelf.add_task()
    await shelf.add_task(due_at=after(seconds=5))
    first = await shelf.send(limits=one)
    assert (len(first.tasks), first.is_full, first.next_at) == (1, True, None)
    again = await shelf.send(limits=one, now=after(seconds=9))
    assert (again.tasks, again.is_full, again.next_at) == ([], True, None)
    roomy = await shelf.send(limits=two)
    assert (roomy.tasks, roomy.is_full, roomy.next_at) == ([], False, after(seconds=5))
    last = await shelf.send(limits=two, now=after(seconds=5))
    assert (len(last.tasks), last.is_full, last.next_at) == (1, False, None)


async def test_tasks_sent_lately_count_against_the_rate(shelf: Shelf) -> None:
    limits = Limits(rate=Rate(2, 10.0))
    for _ in range(3):
        await shelf.add_task()
    first = await shelf.send(limits=limits)
    assert len(first.tasks) == 2
    assert first.next_at == after(seconds=10)
    assert (await shelf.send(limits=limits, now=after(seconds=9.999))).tasks == []
    assert len((await shelf.send(limits=limits, now=after(seconds=10))).tasks) == 1


async def test_a_task_that_ended_still_counts_against_the_rate(shelf: Shelf) -> None:
    limits = Limits(rate=Rate(1, 10.0))
    task = await shelf.add_task()
    await shelf.send(limits=limits)
    await shelf.finish(task)
    await shelf.add_task()
    assert (await shelf.send(limits=limits, now=after(seconds=5))).tasks == []


async def test_a_watched_task_does_not_count_against_the_rate(shelf: Shelf) -> None:
    await shelf.add_open_task(watched=True, submitted_at=NOW)
    task = await shelf.add_task()
    assert [claimed.id for claimed in (await shelf.send(limits=Limits(rate=Rate(1, 10.0)))).tasks] == [task.id]


async def test_next_at_looks_past_the_window_if_nothing_is_due_then(shelf: Shelf) -> None:
    await shelf.add_task()
    await shelf.add_task(due_at=after(seconds=60))
    assert (await shelf.send(limits=Limits(rate=Rate(1, 10.0)))).next_at == after(seconds=60)


async def test_without_limits_everything_is_claimed_in_the_end(shelf: Shelf) -> None:
    tasks = {(await shelf.add_task()).id for _ in range(150)}
    claimed: set[str] = set()
    claim = await shelf.send()
    while claim.tasks:
        claimed |= {task.id for task in claim.tasks}
        assert claim.next_at is None or claim.next_at <= NOW
        claim = await shelf.send()
    assert claimed == tasks


async def test_a_deferred_submission_is_queued_again(shelf: Shelf) -> None:
    task = await shelf.add_task()
    await shelf.send()
    await shelf.store.defer_submission(task.id, until=after(seconds=5), note=note(task, "submission_deferred"))
    found = await shelf.found(task)
    assert (found.status, found.submitted_at, found.sends) == (TaskStatus.QUEUED, None, 1)
    assert (await shelf.send(now=after(seconds=4))).tasks == []
    [again] = (await shelf.send(now=after(seconds=5))).tasks
    assert (again.id, again.sends) == (task.id, 2)
    timeline = await shelf.store.timeline(shelf.account_id, task.id)
    assert timeline is not None
    assert [entry.kind for entry in timeline.notes] == ["submission_deferred"]


async def test_a_deferral_that_is_repeated_too_late_does_not_queue_what_was_sent_again(shelf: Shelf) -> None:
    task = await shelf.add_task()
    [first] = (await shelf.send()).tasks
    await shelf.store.defer_submission(task.id, until=NOW, note=None, sends=first.sends)
    [second] = (await shelf.send()).tasks
    await shelf.store.defer_submission(task.id, until=NOW, note=None, sends=first.sends)
    assert await shelf.found(task) == second
    assert (await shelf.send()).tasks == []


async def test_a_deferred_submission_gives_its_places_back(shelf: Shelf) -> None:
    limits = Limits(max_concurrent=1, rate=Rate(1, 10.0))
    deferred = await shelf.add_task()
    await shelf.send(limits=limits)
    await shelf.store.defer_submission(deferred.id, until=after(seconds=60), note=None)
    other = await shelf.add_task()
    assert [task.id for task in (await shelf.send(limits=limits, now=after(seconds=1))).tasks] == [other.id]


async def test_a_task_that_ended_meanwhile_stays_so_when_its_submission_is_deferred(shelf: Shelf) -> None:
    task = await shelf.add_task()
    await shelf.send()
    await shelf.finish(task)
    ended = await shelf.found(task)
    await shelf.store.defer_submission(task.id, until=NOW, note=None)
    assert await shelf.found(task) == ended
    assert (await shelf.send(now=after(days=1))).tasks == []


async def test_a_task_that_was_accepted_meanwhile_is_never_sent_again(shelf: Shelf) -> None:
    task = await shelf.add_task()
    await shelf.send()
    await shelf.finish(task, update=Update(status=TaskStatus.PROCESSING), images=())
    await shelf.store.defer_submission(task.id, until=NOW, note=None)
    assert (await shelf.send(now=after(seconds=1))).tasks == []
    assert await shelf.polls(now=NOW + DEADLINE) == [task.id]


async def test_what_a_crash_left_of_a_submission_is_doubtful(shelf: Shelf, opener: Opener) -> None:
    task = await shelf.add_task()
    await shelf.send()
    assert await shelf.store.doubtful("kie") == []
    await shelf.store.close()
    revived = await opener(Bell())
    try:
        await revived.recover()
        assert [one.id for one in await revived.doubtful("kie")] == [task.id]
        assert await revived.doubtful("segmind") == []
        assert (await revived.claim_polls("kie", limit=10, now=NOW + DEADLINE)).tasks == []
        await revived.schedule(task.id, at=after(seconds=5), polled=False)
        assert await revived.doubtful("kie") == []
        assert [one.id for one in (await revived.claim_polls("kie", limit=10, now=after(seconds=5))).tasks] == [task.id]
    finally:
        await revived.close()


async def test_a_submission_that_was_answered_is_not_doubtful(shelf: Shelf) -> None:
    task = await shelf.add_task()
    await shelf.send()
    await shelf.finish(task, via=Via.RESPONSE, callback=None, update=Update(status=TaskStatus.SUBMITTED), images=(), releases=True)
    assert await shelf.store.doubtful("kie") == []


async def test_an_accepted_task_is_polled_when_it_is_due(shelf: Shelf) -> None:
    task = await shelf.add_open_task(due_at=after(seconds=5))
    assert await shelf.polls(now=after(seconds=4.999)) == []
    claim = await shelf.store.claim_polls("kie", limit=1, now=after(seconds=8))
    assert claim.tasks == [task]
    assert claim.due_since == after(seconds=5)


async def test_an_accepted_task_is_polled_at_its_deadline_at_the_latest(shelf: Shelf) -> None:
    never = await shelf.add_open_task(due_at=None)
    late = await shelf.add_open_task(due_at=after(days=1))
    assert await shelf.polls(now=NOW + DEADLINE) == [never.id, late.id]


async def test_polls_are_claimed_longest_due_first_and_no_more_than_asked_for(shelf: Shelf) -> None:
    second = await shelf.add_open_task(due_at=after(seconds=2))
    first = await shelf.add_open_task(due_at=after(seconds=1))
    third = await shelf.add_open_task(due_at=after(seconds=3))
    assert await shelf.polls(now=after(seconds=9), limit=2) == [first.id, second.id]
    assert await shelf.polls(now=after(seconds=9), limit=2) == [third.id]
    assert await shelf.polls(now=after(seconds=9), limit=2) == []


async def test_a_poll_claim_tells_when_the_next_one_falls_due(shelf: Shelf) -> None:
    await shelf.add_open_task(due_at=NOW)
    await shelf.add_open_task(due_at=after(seconds=30))
    assert (await shelf.store.claim_polls("kie", limit=9, now=NOW)).next_at == after(seconds=30)
    assert (await shelf.store.claim_polls("segmind", limit=9, now=NOW)).next_at is None


async def test_queued_and_final_tasks_are_not_polled(shelf: Shelf) -> None:
    await shelf.add_task(due_at=NOW)
    await shelf.finish(await shelf.add_open_task(due_at=NOW))
    assert await shelf.polls(now=after(days=1)) == []


async def test_a_scheduled_task_is_given_back_and_looked_at_then(shelf: Shelf) -> None:
    task = await shelf.add_open_task(due_at=NOW)
    await shelf.polls()
    await shelf.store.schedule(task.id, at=after(seconds=10), polled=True, note=note(task))
    assert (await shelf.found(task)).polls == 1
    assert await shelf.polls(now=after(seconds=9)) == []
    assert await shelf.polls(now=after(seconds=10)) == [task.id]
    await shelf.store.schedule(task.id, at=after(seconds=20), polled=False)
    assert (await shelf.found(task)).polls == 1
    timeline = await shelf.store.timeline(shelf.account_id, task.id)
    assert timeline is not None
    assert [entry.kind for entry in timeline.notes] == ["poll_failed"]


async def test_a_look_that_a_callback_asked_for_stands_when_the_task_is_scheduled_for_want_of_an_answer(shelf: Shelf) -> None:
    known = await shelf.add_open_task(due_at=after(seconds=5), provider_task_id="theirs")
    unknown = await shelf.add_open_task(due_at=after(seconds=5))
    for task in (known, unknown):
        await shelf.store.schedule(task.id, at=after(seconds=60), polled=False)
    claim = await shelf.store.claim_polls("kie", limit=9, now=after(seconds=6))
    assert [task.id for task in claim.tasks] == [known.id]
    assert claim.next_at == after(seconds=60)


async def test_a_task_is_scheduled_at_its_deadline_at_the_latest(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    await shelf.store.schedule(task.id, at=after(days=1), polled=True)
    assert await shelf.polls(now=NOW + DEADLINE) == [task.id]


async def test_scheduling_a_final_task_does_nothing(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    await shelf.finish(task)
    ended = await shelf.found(task)
    await shelf.store.schedule(task.id, at=NOW, polled=True, note=note(task))
    assert await shelf.found(task) == ended
    assert await shelf.polls(now=after(days=1)) == []
    timeline = await shelf.store.timeline(shelf.account_id, task.id)
    assert timeline is not None
    assert timeline.notes == []


async def test_recovering_frees_what_a_dead_process_held(shelf: Shelf, opener: Opener) -> None:
    await shelf.subscribe()
    polled = await shelf.add_open_task(due_at=NOW)
    delivery = await shelf.deliver()
    assert await shelf.polls() == [polled.id]
    assert len(await shelf.claim_jobs()) == 1
    await shelf.store.close()
    revived = await opener(Bell())
    try:
        await revived.recover()
        assert [task.id for task in (await revived.claim_polls("kie", limit=9, now=NOW)).tasks] == [polled.id]
        assert [job.delivery.id for job in (await revived.claim_deliveries(limit=9, now=NOW)).jobs] == [delivery.id]
    finally:
        await revived.close()


async def test_a_doubted_callback_makes_the_task_due_at_once(shelf: Shelf) -> None:
    task = await shelf.add_open_task(due_at=after(minutes=5))
    applied = await shelf.finish(task, update=None, verdict=Verdict.UNREADABLE, images=())
    assert applied.verdict is Verdict.UNREADABLE
    assert await shelf.polls(now=NOW) == [task.id]


async def test_a_doubted_callback_does_not_send_a_queued_task_early(shelf: Shelf) -> None:
    task = await shelf.add_task(due_at=after(minutes=5))
    await shelf.finish(task, update=None, verdict=Verdict.UNREADABLE, images=())
    assert (await shelf.send(now=after(minutes=4))).tasks == []
    assert len((await shelf.send(now=after(minutes=5))).tasks) == 1


async def test_a_claim_is_empty_where_there_is_nothing(store: Store) -> None:
    claim = await store.claim_submissions("kie", limits=Limits(max_concurrent=0), deadline=DEADLINE, now=NOW)
    assert (claim.tasks, claim.next_at) == ([], None)
