"""Several processes on one database: who sends where."""

import asyncio
from collections import defaultdict

import asyncpg
import pytest

from relay.model import DeliveryStatus
from tests.stores.making import NOW, after
from tests.stores.processes import Crew, Hands, beat_together

pytestmark = pytest.mark.anyio


async def test_no_delivery_is_claimed_by_two_and_no_subscription_is_sent_to_by_two(crew: Crew) -> None:
    processes = [await crew.start() for _ in range(3)]
    rooms = {(await processes[0].subscribe()).id: 2 for _ in range(6)}
    for _ in range(5):
        await processes[0].deliver_to_all()
    made = await processes[0].deliveries()
    claimed: list[str] = []
    senders: dict[str, set[str]] = defaultdict(set)
    while len(claimed) < len(made):
        for process, jobs in zip(processes, await asyncio.gather(*(process.claim_jobs(rooms=rooms) for process in processes)), strict=True):
            claimed += [job.delivery.id for job in jobs]
            for job in jobs:
                senders[job.subscription.id].add(process.name)
    assert sorted(claimed) == sorted(delivery.id for delivery in made)
    assert [len(names) for names in senders.values()] == [1] * 6


async def test_a_subscription_is_sent_to_by_one_process_at_a_time(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    subscription = await first.subscribe()
    made = [await first.deliver() for _ in range(3)]
    assert await first.claimed_ids() == [made[0].id]
    claim = await second.store.claim_deliveries(limit=9, now=NOW, rooms={})
    assert (claim.jobs, claim.next_at) == ([], None)
    assert await first.claimed_ids({subscription.id: 9}) == [made[1].id, made[2].id]


async def test_what_is_new_is_handed_over_only_where_its_subscription_is_sent_to(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    here, there = Hands(), Hands()
    first.store.hand_to(here)
    second.store.hand_to(there)
    await first.subscribe()
    one = await first.deliver()
    other = await second.deliver()
    assert (here.taken, there.taken) == ([one.id], [])
    assert await second.claimed_ids() == []
    assert await first.claimed_ids() == [other.id]


async def test_a_lane_of_no_use_for_ten_seconds_is_given_up(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    await first.subscribe()
    done = await first.deliver()
    await first.claimed_ids()
    await first.settle(done)
    waiting = await second.deliver()
    for _ in range(4):
        await first.beat()
        await second.beat()
        assert await second.claimed_ids() == []
    await first.beat()
    assert await second.claimed_ids() == [waiting.id]


async def test_a_lane_is_kept_as_long_as_an_attempt_is_under_way(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    await first.subscribe()
    under_way = await first.deliver()
    await first.claimed_ids()
    waiting = await second.deliver()
    await beat_together(9, first, second)
    assert await second.claimed_ids() == []
    await first.settle(under_way)
    await beat_together(6, first, second)
    assert await second.claimed_ids() == [waiting.id]


async def test_the_ten_seconds_begin_when_the_last_attempt_has_ended(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    await first.subscribe()
    done = await first.deliver()
    await first.claimed_ids()
    await beat_together(4, first, second)
    await first.settle(done)
    waiting = await second.deliver()
    await beat_together(4, first, second)
    assert await second.claimed_ids() == []
    await first.beat()
    assert await second.claimed_ids() == [waiting.id]


async def test_a_lane_that_is_paced_is_kept_for_the_span_between_two_attempts(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    await first.subscribe(rate_per_second=0.05)
    done = await first.deliver()
    await first.claimed_ids()
    await first.settle(done)
    waiting = await second.deliver()
    await beat_together(9, first, second)
    assert await second.claimed_ids() == []
    await first.beat()
    assert await second.claimed_ids() == [waiting.id]


async def test_a_process_that_stops_gives_up_at_once_where_nothing_is_under_way(crew: Crew) -> None:
    first, second, hands = await crew.start(), await crew.start(), Hands()
    first.store.hand_to(hands)
    await first.subscribe()
    under_way = await first.deliver()
    first.store.hand_to(None)
    waiting = await second.deliver()
    await first.beat(seconds=1.0)
    assert (hands.taken, await second.claimed_ids()) == ([under_way.id], [])
    await first.settle(under_way)
    await first.beat(seconds=1.0)
    assert await second.claimed_ids() == [waiting.id]


async def test_a_process_that_stops_keeps_a_lane_that_is_paced_for_the_span_between_two_attempts(crew: Crew) -> None:
    first, second, hands = await crew.start(), await crew.start(), Hands()
    first.store.hand_to(hands)
    await first.subscribe(rate_per_second=0.25)
    under_way = await first.deliver()
    first.store.hand_to(None)
    waiting = await second.deliver()
    await first.beat(seconds=5.0)
    await first.settle(under_way)
    await first.beat(seconds=3.0)
    assert (hands.taken, await second.claimed_ids()) == ([under_way.id], [])
    await first.beat(seconds=1.0)
    assert await second.claimed_ids() == [waiting.id]


async def test_the_events_of_one_task_are_in_order_over_all_processes(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    subscription = await first.subscribe(ordered=True)
    task = await first.add_open_task()
    await first.finish(task)
    [head] = await first.deliveries()
    later = await second.store.add_delivery(second.account_id, head.event_id, subscription.id, now=NOW)
    assert later is not None
    assert (await second.claimed_ids({subscription.id: 9}), await first.claimed_ids({subscription.id: 9})) == ([head.id], [])
    await second.settle(head, status=DeliveryStatus.PENDING, next_at=after(minutes=1))
    assert (await second.claimed_ids(), await first.claimed_ids()) == ([], [])
    await second.settle(head)
    assert (await first.claimed_ids(), await second.claimed_ids()) == ([], [later.id])


async def test_a_task_s_own_subscription_needs_no_lane(crew: Crew, database: str) -> None:
    process, hands = await crew.start(), Hands()
    process.store.hand_to(hands)
    task = process.task()
    await process.store.add_task(task, due_at=NOW, callback=process.subscription(task_id=task.id))
    await process.finish(task)
    assert len(hands.jobs) == 1
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM lanes") == 0
    await connection.close()
