"""What is finished is kept for so long, and then goes, a little at a time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from relay.archive.local import LocalArchive
from relay.model import Task
from relay.ports import Store
from relay.settings import load_settings
from relay.tasks.prune import Pruner
from tests.delivery.conformance.trial import attempts_at, deliveries
from tests.delivery.made import now
from tests.delivery.office import Office
from tests.delivery.receiver import Receiver
from tests.e2e.harness import ADMIN_KEY
from tests.web.conftest import House, Running, problem, read_json, relay_in
from tests.web.subscribing import act, settled, subscribe, succeeded

pytestmark = pytest.mark.anyio

TASKS = "/api/v1/tasks"


class Kept(Struct):
    """What an account had before its time was over, and its API afterwards."""

    api: httpx.AsyncClient
    account: str
    told: dict[str, Any]
    held: dict[str, Any]
    delivery: dict[str, Any]
    file: Path


async def live(running: Running, stack: AsyncExitStack, receiver: Receiver, retention: str | None) -> Kept:
    """An account with a task whose end was delivered, and one whose end is held."""
    house = await House(running, stack).open()
    accounts = read_json(await house.operator.get("/api/v1/accounts"), 200)["data"]
    account = next(one for one in accounts if one["name"] == house.account)
    read_json(await house.operator.patch(f"/api/v1/accounts/{account['id']}", json={"retention": retention}), 200)
    subscription = await subscribe(house.api, url=receiver.url)
    told = await succeeded(house)
    [delivery] = await deliveries(house.api, task_id=told["id"])
    await settled(house.api, delivery)
    await act(house.api, subscription, "pause")
    return Kept(house.api, house.account, told, await succeeded(house), delivery, Path())


@pytest.fixture(scope="module")
async def kept(folder: Path, anyio_backend: str) -> AsyncIterator[dict[str, Kept]]:  # noqa: ARG001 -- the plugin wants it
    """After a start with a retention that is over: one account without a word of its own, one that keeps its things for 90 days."""
    async with Receiver() as receiver, AsyncExitStack() as stack:
        async with relay_in(folder) as running:
            lives = {name: await live(running, stack, receiver, retention) for name, retention in (("plain", None), ("own", "90d"))}
        running = await stack.enter_async_context(relay_in(folder, RELAY_RETENTION="1ms"))
        for one in lives.values():
            headers = {"authorization": f"Bearer {ADMIN_KEY}", "x-relay-account": one.account}
            one.api = await stack.enter_async_context(httpx.AsyncClient(base_url=running.url, headers=headers))
            one.file = folder / "relay.db"
        async with asyncio.timeout(20):
            while (await lives["plain"].api.get(f"{TASKS}/{lives['plain'].told['id']}")).status_code == 200:
                await asyncio.sleep(0.01)
        yield lives


async def test_attempts_and_payloads_go_with_their_task(kept: dict[str, Kept]) -> None:
    plain = kept["plain"]

    problem(await plain.api.get(f"{TASKS}/{plain.told['id']}"), 404, "not_found")
    problem(await plain.api.get(f"/api/v1/deliveries/{plain.delivery['id']}/attempts"), 404, "not_found")
    for path in ("/api/v1/events", "/api/v1/callbacks", "/api/v1/deliveries"):
        assert read_json(await plain.api.get(path, params={"task_id": plain.told["id"]}), 200)["data"] == [], path


async def test_what_is_held_stays_however_old(kept: dict[str, Kept]) -> None:
    plain = kept["plain"]

    assert read_json(await plain.api.get(f"{TASKS}/{plain.held['id']}"), 200)["id"] == plain.held["id"]
    assert [one["status"] for one in await deliveries(plain.api, task_id=plain.held["id"])] == ["held"]


async def test_an_account_may_have_a_retention_of_its_own(kept: dict[str, Kept]) -> None:
    own = kept["own"]

    assert read_json(await own.api.get(f"{TASKS}/{own.told['id']}"), 200)["id"] == own.told["id"]
    assert len(await attempts_at(own.api, own.delivery)) == 1


async def test_counts_stay(kept: dict[str, Kept]) -> None:
    with sqlite3.connect(f"file:{kept['plain'].file}?mode=ro", uri=True) as file:
        counted = file.execute("SELECT provider, status, count FROM counts JOIN accounts ON accounts.id = account_id WHERE name = ?",
                               [kept["plain"].account]).fetchall()
    file.close()

    assert counted == [("apiframe", "succeeded", 1)]


class Stepwise:
    """The store, but before each of the first steps of the pruner something else goes its whole way."""

    def __init__(self, store: Store, office: Office, receiver: Receiver) -> None:
        self._store = store
        self._office = office
        self._receiver = receiver
        self.steps: list[int] = []

    async def expired_tasks(self, *, retention: timedelta, now: datetime, limit: int) -> list[Task]:
        return list(await self._store.expired_tasks(retention=retention, now=now, limit=limit))

    async def prune_rest(self, *, retention: timedelta, now: datetime, limit: int) -> int:
        if len(self.steps) < 5:
            await self._office.ping(await self._office.subscribe(f"{self._receiver.url}/{len(self.steps)}"))
            await self._receiver.wait_for_requests(len(self.steps) + 1)
        self.steps.append(await self._store.prune_rest(retention=retention, now=now, limit=limit))
        return self.steps[-1]


def pruner(store: Any, tmp_path: Path, **later: float) -> Pruner:
    """With the retention that holds by default, so much later."""
    span, moment = timedelta(seconds=load_settings({}).retention), now() + timedelta(**later)
    return Pruner(store=store, archive=LocalArchive(tmp_path / "images"), retention=span, clock=lambda: moment)


async def test_it_is_bounded_by_default(office: Office, tmp_path: Path) -> None:
    """Thirty days."""
    async with Receiver() as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        async with office.at_work():
            await receiver.wait_for_requests(1)
    assert await pruner(office.store, tmp_path, days=29, hours=23).prune(asyncio.Event()) == 0
    assert len(await office.attempts(delivery)) == 1
    assert await pruner(office.store, tmp_path, days=30, minutes=1).prune(asyncio.Event()) == 3
    assert await office.attempts(delivery) == []


async def test_pruning_goes_in_small_batches_between_which_live_events_go_their_way(office: Office, tmp_path: Path) -> None:
    removed = await office.subscribe("https://a.example/hook")
    await asyncio.gather(*(office.ping(removed) for _ in range(500)))
    await office.store.remove_subscription(removed.account_id, removed.id, now=now())
    async with Receiver() as receiver, office.at_work():
        stepwise = Stepwise(office.store, office, receiver)
        gone = await pruner(stepwise, tmp_path, days=31).prune(asyncio.Event())
    assert gone >= 1000
    assert max(stepwise.steps) <= 200
    assert len(stepwise.steps) >= 5
