"""What a claim, a recorded callback and a settlement cost the store, with few and with very many finished deliveries beside them."""

import asyncio
import contextlib
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from msgspec import Struct

from relay.ids import new_id
from relay.model import Account, Attempt, Callback, Change, DeliveryStatus, Image, Subscription, Task, TaskStatus, Update, Verdict, Via
from relay.ports.store import Job, Settlement, Store
from tests.bench.figure import Figure, most
from tests.bench.filling import open_bench_store, open_task
from tests.bench.history import add_finished
from tests.bench.scale import Scale

AT_ONCE: Final = 64
PER_EVENT: Final = 10  # as if ten had subscribed
FIRST_WAIT: Final = timedelta(hours=1)  # deliveries are claimed as those of a backlog are, not handed over fresh
Opener = Callable[[], Awaitable[Store]]


class Costs(Struct, frozen=True, kw_only=True):
    """Milliseconds for 64 of them."""

    claim: float
    apply: float
    settle: float


class Compared(Struct, frozen=True):
    """What the smallest file and one of `size` cost in the same minutes."""

    size: int
    few: list[Costs]
    many: list[Costs]


async def measure(scale: Scale) -> list[Figure]:
    """Each large file takes turns with the smallest one, so that whatever else the machine does falls on both."""
    fewest = scale.history[0]
    compared: list[Compared] = []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        small, large = Path(name) / "small.db", Path(name) / "large.db"
        opening_small, opening_large = _opening(small), _opening(large)
        await in_turns([opening_small], 1)
        await asyncio.to_thread(add_finished, small, 0, fewest, per_event=PER_EVENT)
        shutil.copyfile(small, large)
        for before, size in itertools.pairwise(scale.history):
            await asyncio.to_thread(add_finished, large, before, size, per_event=PER_EVENT)
            await in_turns([opening_small, opening_large], scale.rounds // 4 + 1)  # warm
            compared.append(Compared(size, *await in_turns([opening_small, opening_large], scale.rounds)))
    return figures("growth", fewest, compared)


def _opening(path: Path) -> Opener:
    return lambda: open_bench_store(path, first_wait=FIRST_WAIT.total_seconds())


def figures(scenario: str, fewest: int, compared: Sequence[Compared]) -> list[Figure]:
    """What each step costs, and that beside what it costs with few."""
    return [figure for step in ("claim", "apply", "settle") for figure in _figures(scenario, step, fewest, compared)]


def _figures(scenario: str, step: str, fewest: int, compared: Sequence[Compared]) -> list[Figure]:
    few = [getattr(costs, step) for each in compared for costs in each.few]
    shown = [Figure(scenario=scenario, name=f"{step} of {AT_ONCE}, {fewest:,} finished", unit="ms", runs=few)]
    for each in compared:
        many = [getattr(costs, step) for costs in each.many]
        ratio = statistics.median(many) / statistics.median(getattr(costs, step) for costs in each.few)
        shown += [Figure(scenario=scenario, name=f"{step} of {AT_ONCE}, {each.size:,} finished", unit="ms", runs=many),
                  Figure(scenario=scenario, name=f"{step}, {each.size:,} to {fewest:,}", unit="", runs=[ratio], goal=most(1.3))]
    return shown


async def in_turns(openers: Sequence[Opener], count: int) -> list[list[Costs]]:
    """Each turn, in each store: 64 callbacks, their deliveries claimed, then settled."""
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        for open_one in openers:
            store = await open_one()
            stack.push_async_callback(store.close)
            opened.append((store, await _subscription(store)))
        turns = [[await _cycle(store, subscription, number) for store, subscription in opened] for number in range(count)]
    return [list(costs) for costs in zip(*turns, strict=True)]


async def _subscription(store: Store) -> Subscription:
    account = await store.account("default") or await store.add_account(Account(id=new_id("acc"), name="default", created_at=_now()))
    subscription = Subscription(id=new_id("sub"), account_id=account.id, url="https://hooks.example.com/", sealed_secret="sealed",
                                created_at=_now())
    return (await store.add_subscription(subscription, identity="the one", now=_now()))[0]


async def _cycle(store: Store, subscription: Subscription, number: int) -> Costs:
    tasks = [open_task(subscription.account_id, number * AT_ONCE + index) for index in range(AT_ONCE)]
    await asyncio.gather(*(store.add_task(task, due_at=None) for task in tasks))
    changes = [_success(task) for task in tasks]
    begun = time.perf_counter()
    await asyncio.gather(*(store.apply(change) for change in changes))
    applied = time.perf_counter()
    claim = await store.claim_deliveries(limit=AT_ONCE, now=_now() + 2 * FIRST_WAIT, rooms={subscription.id: AT_ONCE})
    claimed = time.perf_counter()
    assert len(claim.jobs) == AT_ONCE, f"{len(claim.jobs)} claimed"
    settlements = _delivered(claim.jobs)
    settling = time.perf_counter()
    await store.settle(settlements, now=_now())
    settled = time.perf_counter()
    return Costs(apply=(applied - begun) * 1000, claim=(claimed - applied) * 1000, settle=(settled - settling) * 1000)


def _success(task: Task) -> Change:
    now = _now()
    callback = Callback(id=new_id("cbk"), task_id=task.id, account_id=task.account_id, provider=task.provider, verdict=Verdict.APPLIED,
                        headers={"content-type": "application/json", "user-agent": "axios/1.7.9"}, body='{"task_type": "flux-imagine"}',
                        received_at=now)
    return Change(task_id=task.id, via=Via.CALLBACK, now=now, update=Update(status=TaskStatus.SUCCEEDED), callback=callback,
                  images=(Image(id=new_id("img"), source_url="https://cdn.apiframe.pro/1.png"),))


def _delivered(jobs: Sequence[Job]) -> list[Settlement]:
    return [Settlement(attempt=Attempt(id=new_id("att"), delivery_id=job.delivery.id, number=1, started_at=_now(), duration_ms=1.5,
                                       status_code=200, response_body=""), status=DeliveryStatus.DELIVERED) for job in jobs]


def _now() -> datetime:
    return datetime.now(UTC)
