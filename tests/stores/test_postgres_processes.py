"""Several processes on one database: who is alive, and what becomes of the work of those who are not."""

from contextlib import AsyncExitStack

import asyncpg
import pytest

from relay.errors import Conflict, StoreError
from relay.model import DeliveryStatus
from relay.stores.postgres.process import Watch
from tests.postgres import PostgresServer
from tests.stores.making import NOW
from tests.stores.processes import Crew, Hands, see_silence

pytestmark = pytest.mark.anyio

_BURYING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DELETE FROM processes%' AND wait_event_type = 'Lock'"


# Who is alive


def looked(watch: Watch, *, until: float, since: float = 0.0, beats: dict[str, int] | None = None) -> dict[str, int]:
    """Every two seconds, at the same number."""
    dead: dict[str, int] = {}
    at = since
    while at <= until:
        dead = watch.look(beats or {"other": 7}, at)
        at += 2.0
    return dead


def test_one_whose_number_stands_still_for_eight_seconds_is_dead() -> None:
    assert looked(Watch(), until=6.0) == {}
    assert looked(Watch(), until=8.0) == {"other": 7}


def test_one_whose_number_changes_lives_however_seldom_it_is_looked_at() -> None:
    watch = Watch()
    assert [watch.look({"other": at}, at * 7.9) for at in range(20)] == [{}] * 20


def test_whoever_could_not_see_clearly_begins_anew() -> None:
    watch = Watch()
    looked(watch, until=6.0)
    watch.look_away()
    assert looked(watch, since=8.0, until=14.0) == {}
    assert looked(watch, since=16.0, until=16.0) == {"other": 7}


def test_whoever_was_stopped_for_a_while_takes_nobody_for_dead() -> None:
    watch = Watch()
    looked(watch, until=4.0)
    assert watch.look({"other": 7}, 600.0) == {}


async def test_an_outage_of_the_database_makes_nobody_dead() -> None:
    with PostgresServer() as server:
        async with AsyncExitStack() as stack:
            crew = Crew(server.new_database(), stack)
            living, other = await crew.start(), await crew.start()
            for _ in range(4):
                await other.beat()
            server.stop()
            await other.beat()
            await living.beat()
            server.start()
            await other.beat()
            await living.beat()


async def test_no_heartbeat_waits_for_what_there_is_to_do_about_the_dead(crew: Crew, database: str) -> None:
    dead, observer = await crew.start(), await crew.start_with_hints()
    connection, looking = await asyncpg.connect(database), await asyncpg.connect(database)
    async with connection.transaction():
        await connection.execute("SELECT id FROM processes WHERE id = $1 FOR UPDATE", dead.name)
        with observer.bell.listen("with a heartbeat") as rung:
            while not await looking.fetchval(_BURYING):
                observer.ticks.at += 2
                assert await rung.wait(30)
            for _ in range(2):
                observer.ticks.at += 2
                assert await rung.wait(30)
            assert await looking.fetchval(_BURYING) == 1  # the first try, still waiting
    await connection.close()
    await looking.close()


# What becomes of the work


async def test_what_a_dead_process_held_is_free_after_eight_seconds(crew: Crew) -> None:
    dead, other = await crew.start(), await crew.start()
    submission, poll = await dead.add_task(), await dead.add_open_task(due_at=NOW)
    await dead.subscribe()
    delivery = await dead.deliver()
    assert [task.id for task in (await dead.send()).tasks] == [submission.id]
    assert await dead.polls() == [poll.id]
    assert await dead.claimed_ids() == [delivery.id]
    await other.beat()
    for _ in range(3):
        await other.beat()
        assert (await other.polls(), await other.claimed_ids(), await other.store.doubtful("kie")) == ([], [], [])
    await other.beat()
    assert await other.polls() == [poll.id]
    assert await other.claimed_ids() == [delivery.id]
    assert [task.id for task in await other.store.doubtful("kie")] == [submission.id]


@pytest.mark.parametrize("topic", ["submissions", "polls", "deliveries", "doubtful", "duties"])
async def test_the_bell_is_rung_for_what_became_free(crew: Crew, topic: str) -> None:
    await crew.start()
    other = await crew.start()
    for _ in range(4):
        await other.beat()
    with other.bell.listen(topic) as rung:
        await other.beat()
        assert await rung.wait(0)


async def test_one_whose_heart_beats_keeps_what_it_holds_however_long(crew: Crew) -> None:
    living, other = await crew.start(), await crew.start()
    await living.subscribe()
    await living.deliver()
    [held] = await living.claimed_ids()
    for _ in range(12):
        await living.beat()
        await other.beat()
    assert await other.claimed_ids() == []
    await living.store.release_deliveries([held])
    assert await living.claimed_ids() == [held]


async def test_a_process_that_was_taken_for_dead_stops_when_it_notices(crew: Crew) -> None:
    slow, other = await crew.start(), await crew.start()
    await see_silence(other)
    with pytest.raises(RuntimeError, match="took this one for dead"):
        await slow.beat()


async def test_a_process_that_was_taken_for_dead_is_not_ready(crew: Crew) -> None:
    slow, other = await crew.start(), await crew.start()
    await slow.store.check()
    await see_silence(other)
    await other.store.check()
    with pytest.raises(StoreError, match="took this one for dead"):
        await slow.store.check()


async def test_whether_one_is_ready_waits_neither_for_another_nor_for_its_own_heart(crew: Crew, database: str) -> None:
    process, other = await crew.start(), await crew.start()
    connection = await asyncpg.connect(database)
    async with connection.transaction():
        await connection.execute("UPDATE processes SET beat = beat")
        await process.store.check()
        await other.store.check()
    await connection.close()


async def test_a_process_that_was_taken_for_dead_claims_nothing_more(crew: Crew) -> None:
    slow, other = await crew.start(), await crew.start()
    hands = Hands()
    slow.store.hand_to(hands)
    await other.subscribe()
    await other.add_task()
    await other.add_open_task(due_at=NOW)
    waiting = await other.deliver()
    await see_silence(other)
    assert ((await slow.send()).tasks, await slow.polls(), await slow.claimed_ids()) == ([], [], [])
    fresh = await slow.deliver()
    assert hands.taken == []
    assert sorted(await other.claimed_ids({waiting.subscription_id: 9})) == sorted([waiting.id, fresh.id])


async def test_an_attempt_of_one_that_was_taken_for_dead_is_recorded_and_takes_nothing_from_the_new_holder(crew: Crew) -> None:
    slow, other = await crew.start(), await crew.start()
    await slow.subscribe()
    delivery = await slow.deliver()
    await slow.claimed_ids()
    await see_silence(other)
    assert await other.claimed_ids() == [delivery.id]
    await slow.settle(delivery, status=DeliveryStatus.EXHAUSTED)
    stands = await other.delivery(delivery)
    assert (stands.status, stands.attempts) == (DeliveryStatus.PENDING, 1)
    assert len(await other.store.attempts(other.account_id, delivery.id)) == 1
    third = await crew.start()
    assert await third.claimed_ids() == []
    await other.settle(stands)
    assert ((await other.delivery(delivery)).status, (await other.delivery(delivery)).attempts) == (DeliveryStatus.DELIVERED, 2)


async def test_a_process_that_was_taken_for_dead_does_not_send_what_it_claimed_before(crew: Crew) -> None:
    slow, other = await crew.start(), await crew.start()
    await slow.subscribe()
    await slow.deliver()
    [job] = await slow.claim_jobs()
    assert await slow.store.confirm_job(job) == job
    await see_silence(other)
    assert await slow.store.confirm_job(job) is None


async def test_a_success_of_one_that_was_taken_for_dead_stands_and_the_new_attempt_is_still_under_way(crew: Crew) -> None:
    slow, other = await crew.start(), await crew.start()
    await slow.subscribe()
    delivery = await slow.deliver()
    await slow.claimed_ids()
    await see_silence(other)
    assert await other.claimed_ids() == [delivery.id]
    await slow.settle(delivery)
    assert (await other.delivery(delivery)).status is DeliveryStatus.DELIVERED
    with pytest.raises(Conflict):
        await other.store.retry_delivery(other.account_id, delivery.id, now=NOW)


async def test_what_is_settled_twice_because_nobody_knew_is_counted_once(crew: Crew) -> None:
    process = await crew.start()
    await process.subscribe()
    delivery = await process.deliver()
    await process.claimed_ids()
    settlement = process.settlement(delivery, status=DeliveryStatus.PENDING, next_at=NOW)
    await process.store.settle([settlement], now=NOW)
    assert await process.claimed_ids() == [delivery.id]
    await process.store.settle([settlement], now=NOW)
    assert (await process.delivery(delivery)).attempts == 1
    assert await process.claimed_ids() == []


async def test_one_that_ends_gives_everything_back_at_once(crew: Crew) -> None:
    leaving, other = await crew.start(), await crew.start()
    poll = await leaving.add_open_task(due_at=NOW)
    await leaving.subscribe()
    delivery = await leaving.deliver()
    assert (await leaving.polls(), await leaving.claimed_ids()) == ([poll.id], [delivery.id])
    await leaving.store.close()
    assert (await other.polls(), await other.claimed_ids()) == ([poll.id], [delivery.id])


async def test_what_is_held_by_nobody_known_is_freed_by_whoever_starts(crew: Crew, database: str) -> None:
    lost, other = await crew.start(), await crew.start()
    await lost.subscribe()
    delivery = await lost.deliver()
    await lost.claimed_ids()
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM processes WHERE id = $1", lost.name)
    await connection.close()
    await other.store.recover()
    assert await other.claimed_ids() == [delivery.id]
