"""Several processes on one database: what is handed over in memory, and the lanes that it goes by."""

import asyncio

import asyncpg
import pytest

from relay.model import SubscriptionStatus
from relay.stores.postgres.lock import key_of
from tests.stores.making import NOW
from tests.stores.processes import Crew, Hands

pytestmark = pytest.mark.anyio


async def test_a_lane_is_not_given_up_while_something_is_being_handed_over_there(crew: Crew, database: str) -> None:
    first, second = await crew.start(), await crew.start()
    hands = Hands()
    first.store.hand_to(hands)
    await first.subscribe()
    done = await first.deliver()
    await first.settle(done)
    task = await first.add_open_task()
    account = key_of(f"account {first.account_id}")
    connection = await asyncpg.connect(database)
    first.ticks.at += 11
    await connection.execute("SELECT pg_advisory_lock($1)", account)
    finishing = asyncio.create_task(first.finish(task))
    while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.01)
    await first.beat(seconds=0)
    await connection.execute("SELECT pg_advisory_unlock($1)", account)
    await finishing
    await connection.close()
    [_, handed] = hands.taken
    other = await second.deliver()
    assert await second.claimed_ids() == []
    assert handed != other.id


async def test_what_cannot_be_sent_yet_is_no_reason_to_take_a_lane(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    first.store.hand_to(Hands())
    subscription = await first.subscribe()
    await first.store.set_subscription_status(first.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    held = await first.deliver()
    await first.store.set_subscription_status(first.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW)
    assert await second.claimed_ids() == [held.id]
