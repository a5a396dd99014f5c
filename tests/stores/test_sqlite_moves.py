"""Fifty thousand deliveries of one subscription, moved in the one writer's file: others write in between, and a kill costs nothing."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from relay.bell import Bell
from relay.model import DeliveryStatus, Subscription, SubscriptionStatus
from relay.ports.store import DeliveryFilter
from relay.stores.sqlite import open_store
from tests.stores.making import NOW, Ids, Shelf, link

pytestmark = pytest.mark.anyio

_MANY = 50_000
_CHILD = """
import asyncio, pathlib, sys
from relay.bell import Bell
from relay.model import SubscriptionStatus
from relay.stores.sqlite import open_store
from tests.stores.making import NOW, Ids, link

async def main(path, account_id, subscription_id):
    store = await open_store(pathlib.Path(path), bell=Bell(), link=link, new_id=Ids())
    await store.set_subscription_status(account_id, subscription_id, SubscriptionStatus.PAUSED, now=NOW)
    while await store.move_deliveries():
        print("moved", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def open_shelf(path: Path) -> Shelf:
    return Shelf(await open_store(path, bell=Bell(), link=link, new_id=Ids()))


async def fill(shelf: Shelf, path: Path) -> Subscription:
    """A subscription for which so many wait."""
    await shelf.add_account("default")
    subscription = await shelf.subscribe()
    await shelf.store.add_event(shelf.event(subscription_id=subscription.id))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            """WITH RECURSIVE more (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < :many)
            INSERT INTO deliveries (id, account_id, event_id, event_type, subscription_id, status, attempts, manual, next_attempt_at,
            created_at) SELECT 'more_' || n, account_id, event_id, event_type, subscription_id, status, attempts, manual,
            next_attempt_at, created_at FROM deliveries CROSS JOIN more""", {"many": _MANY})
    return subscription


def number_that_are(path: Path, status: str) -> int:
    """In the table itself."""
    with closing(sqlite3.connect(path)) as connection:
        [(number,)] = connection.execute("SELECT count(*) FROM deliveries WHERE status = ?", (status,))
        return int(number)


async def shown(shelf: Shelf, subscription: Subscription, status: DeliveryStatus) -> int:
    which = DeliveryFilter(subscription_id=subscription.id, status=status)
    return len((await shelf.store.deliveries(subscription.account_id, which, limit=2 * _MANY)).data)


async def test_whoever_else_writes_has_a_turn_between_two_steps(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    shelf = await open_shelf(path)
    subscription = await fill(shelf, path)
    written: list[str] = []

    async def move() -> None:
        while await shelf.store.move_deliveries():
            written.append("a step")

    async def work() -> None:
        while not moving.done():
            await shelf.add_task()
            written.append("a task")

    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    async with asyncio.TaskGroup() as group:
        moving = group.create_task(move(), name="move")
        group.create_task(work(), name="work")
    steps_in_a_row = max(len(list(same)) for what, same in groupby(written) if what == "a step")
    assert written.count("a step") >= 40
    assert steps_in_a_row <= 3
    assert number_that_are(path, "held") == _MANY
    await shelf.store.close()


async def test_killed_in_the_middle_it_is_all_held_still_and_the_rest_is_moved_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    shelf = await open_shelf(path)
    subscription = await fill(shelf, path)
    await shelf.store.close()
    command = [sys.executable, "-c", _CHILD, str(path), subscription.account_id, subscription.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: ASYNC220
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(3)] == ["moved\n"] * 3
        child.kill()
    assert 0 < number_that_are(path, "held") < _MANY
    shelf = await open_shelf(path)
    await shelf.store.recover()
    assert await shown(shelf, subscription, DeliveryStatus.HELD) == _MANY
    assert await shelf.claim_jobs(rooms={subscription.id: 9}) == []
    while await shelf.store.move_deliveries():
        continue
    assert number_that_are(path, "held") == _MANY
    await shelf.store.close()
