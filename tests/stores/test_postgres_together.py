"""What holds over all processes that share a database as it does in one: order, limits, pauses, keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from relay.model import DeliveryStatus, EventType, SubscriptionStatus, Task, TaskStatus, Update, Verdict
from relay.ports.provider import Limits, Rate
from relay.ports.store import EventFilter, Idempotency
from relay.stores.postgres.lock import key_of
from tests.stores.making import DEADLINE, NOW, after
from tests.stores.processes import Crew, Process

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crew(database: str) -> AsyncIterator[Crew]:
    async with AsyncExitStack() as stack:
        yield Crew(database, stack)


async def test_no_event_ever_stands_before_one_that_was_read(crew: Crew) -> None:
    first, second, reader = await crew.start(), await crew.start(), await crew.start()
    tasks = [await first.add_open_task() for _ in range(60)]
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read_along(reader, len(tasks)))
        for process, some in ((first, tasks[::2]), (second, tasks[1::2])):
            for task in some:
                group.create_task(process.finish(task))
    assert reading.result() == [event.id for event in await reader.store.events_since(reader.account_id, None, limit=200)]


async def read_along(process: Process, count: int) -> list[str]:
    """The ids of so many events, each time those behind the last one."""
    read: list[str] = []
    while len(read) < count:
        read += [event.id for event in await process.store.events_since(process.account_id, read[-1] if read else None, limit=200)]
    return read


async def test_nothing_is_told_past_a_pause_in_another_process(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    subscription = await first.subscribe()
    for turn in range(15):
        tasks = [await first.add_open_task() for _ in range(4)]
        pause = second.store.set_subscription_status(second.account_id, subscription.id, SubscriptionStatus.PAUSED, now=after(seconds=turn))
        await asyncio.gather(*(first.finish(task) for task in tasks[:2]), pause, *(first.finish(task) for task in tasks[2:]))
        assert {delivery.status for delivery in await first.deliveries()} == {DeliveryStatus.HELD}
        await second.store.set_subscription_status(
            second.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=after(seconds=turn), keep_held=True)


async def test_a_subscription_made_by_one_process_hears_what_the_other_tells_next(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    await first.finish(await first.add_open_task())
    await second.subscribe()
    task = await first.add_open_task()
    await first.finish(task)
    assert len(await first.deliveries(task_id=task.id)) == 1


async def test_a_deleted_subscription_hears_nothing_more_from_any_process(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    subscription = await second.subscribe()
    await first.finish(await first.add_open_task())
    await second.store.remove_subscription(second.account_id, subscription.id, now=NOW)
    task = await first.add_open_task()
    await first.finish(task)
    assert await first.deliveries(task_id=task.id) == []


async def test_two_outcomes_of_one_task_make_one_event(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    for _ in range(10):
        task = await first.add_open_task()
        both = await asyncio.gather(first.finish(task), second.finish(task))
        assert sorted(applied.verdict for applied in both) == [Verdict.APPLIED, Verdict.DUPLICATE]
        which = EventFilter(task_id=task.id, type=EventType.TASK_SUCCEEDED)
        assert len((await first.store.events(first.account_id, which, limit=9)).data) == 1


@pytest.mark.parametrize("limits", [Limits(max_concurrent=5), Limits(rate=Rate(5, 10.0))], ids=["running", "rate"])
async def test_a_provider_s_limits_hold_over_all_processes(crew: Crew, limits: Limits) -> None:
    processes = [await crew.start() for _ in range(3)]
    queued = {(await processes[0].add_task()).id for _ in range(20)}
    claims = await asyncio.gather(*(process.send(limits=limits) for process in processes * 3))
    sent = [task.id for claim in claims for task in claim.tasks]
    assert (len(sent), len(set(sent))) == (5, 5)
    assert set(sent) < queued


async def test_each_open_task_is_looked_at_by_one_process(crew: Crew) -> None:
    processes = [await crew.start() for _ in range(3)]
    due = {(await processes[0].add_open_task(due_at=NOW)).id for _ in range(30)}
    found = await asyncio.gather(*(process.polls(limit=20) for process in processes))
    looked_at = [task_id for some in found for task_id in some] + await processes[0].polls()
    assert sorted(looked_at) == sorted(due)


async def test_the_same_key_at_the_same_instant_makes_one_task_over_all_processes(crew: Crew) -> None:
    processes = [await crew.start() for _ in range(3)]
    key = Idempotency(key="k", fingerprint="f")
    made = await asyncio.gather(*(process.add_task(idempotency=key) for process in processes * 4))
    assert len({task.id for task in made}) == 1


async def test_an_account_that_all_make_at_once_is_made_by_one(crew: Crew) -> None:
    processes = [await crew.start() for _ in range(3)]
    made = await asyncio.gather(*(process.add_account("another") for process in processes), return_exceptions=True)
    assert len([outcome for outcome in made if isinstance(outcome, str)]) == 1


async def test_a_change_does_not_take_a_task_from_the_process_that_has_it_now(crew: Crew) -> None:
    """The first one was taken for dead; what it still says of the task is heard, and it gives back what is not its any more."""
    first, second = await crew.start(), await crew.start()
    task = await first.add_open_task(due_at=NOW)
    assert await first.polls() == [task.id]
    await first.store.recover()  # frees what is held in its name
    assert await second.polls() == [task.id]
    await first.store.schedule(task.id, at=NOW, polled=True)
    assert await first.polls() == []
    await second.store.schedule(task.id, at=NOW, polled=True)
    assert await first.polls() == [task.id]


async def test_a_submission_that_another_process_settles_is_not_queued_again(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    task = await first.add_task()
    await first.send()
    await first.store.recover()
    assert [doubted.id for doubted in await second.store.doubtful("kie")] == [task.id]
    await second.store.schedule(task.id, at=NOW, polled=False)
    assert await second.polls() == [task.id]
    await first.store.defer_submission(task.id, until=NOW, note=None)
    assert (await stands(first, task)) is TaskStatus.SUBMITTED
    claim = await first.store.claim_submissions("kie", limits=Limits(), deadline=DEADLINE, now=NOW + timedelta(hours=1))
    assert claim.tasks == []


async def stands(process: Process, task: Task) -> TaskStatus:
    return (await process.found(task)).status


async def test_low_credits_that_were_told_make_nobody_wait_for_the_operator_s_account(crew: Crew, database: str) -> None:
    process = await crew.start()
    operator = process.account_id
    await process.add_account("other")
    few = Update(status=TaskStatus.SUCCEEDED, credits_left=1.0)
    await process.finish(await process.add_open_task(), update=few)
    connection = await asyncpg.connect(database)
    await connection.execute("SELECT pg_advisory_lock($1)", key_of(f"account {operator}"))
    await process.finish(await process.add_open_task(), update=few, now=after(hours=1))
    await connection.close()
    assert [event.type for event in await process.store.events_since(operator, None, limit=9)] == [EventType.CREDITS_LOW]
