"""Power lost at random instants under load: whatever the disk was left with opens, is sound, and holds what was acknowledged."""

import asyncio
import contextlib
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

from msgspec import Struct

from relay.model import TaskStatus
from relay.ports.store import CallbackFilter, DeliveryFilter, TaskFilter
from tests.bench.filling import open_bench_store
from tests.e2e.power import Copy, copy_of, halted
from tests.e2e.storm import Scene, open_scene

_LONGEST_PAUSE: Final = 0.3
_READING: Final = 0.05  # seconds in which callers read what was answered before the instant
_ALL: Final = 1_000_000


class Blackouts(Struct, kw_only=True):
    """`acknowledged`: at the last instant. `cut`: how often the last commit was one that could be lost."""

    instants: int = 0
    opened: int = 0
    acknowledged: int = 0
    cut: int = 0
    problems: list[str]

    def __str__(self) -> str:
        return (f"{self.instants} instants, at the last of them {self.acknowledged} acknowledged callbacks; {self.opened} copies opened, "
                f"{self.cut} times without the last commit; {len(self.problems)} problems")


async def black_out(folder: Path, *, instants: int, watched: int, seed: int) -> Blackouts:
    """The same seed tears the same bytes of the same copies; the copies themselves differ."""
    found = Blackouts(problems=[])
    async with open_scene(folder, seed) as scene:
        await scene.crowd.watch(watched)
        is_over = asyncio.Event()
        async with asyncio.TaskGroup() as load:
            load.create_task(scene.crowd.call_back(), name="callbacks")
            load.create_task(scene.crowd.submit(is_over, scene.chance, 0.1), name="submits")
            for _ in range(instants):
                await asyncio.sleep(scene.chance.random() * _LONGEST_PAUSE)
                await _lose_power(scene, found)
            is_over.set()
        scene.studio.close()
    return found


async def _lose_power(scene: Scene, found: Blackouts) -> None:
    with halted(scene.relay.pid):
        await asyncio.sleep(_READING)
        acknowledged = scene.crowd.acknowledged | scene.studio.acknowledged
        copy = copy_of(scene.database)
    last, before = copy.last_commits
    is_needed = bool(await _problems(copy.cut(before), acknowledged))
    synced = last if is_needed else before
    found.cut += synced < last
    found.instants += 1
    found.acknowledged = len(acknowledged)
    for name, left in {
        "whole": copy, "cut": copy.cut(scene.chance.randint(synced, len(copy.log))), "torn": copy.torn(synced, scene.chance),
        "torn-in-a-checkpoint": copy.torn_in_a_checkpoint(synced, scene.chance),
    }.items():
        found.opened += 1
        found.problems += [f"instant {found.instants}, {name}: {problem}" for problem in await _problems(left, acknowledged)]


async def _problems(left: Copy, acknowledged: set[str]) -> list[str]:
    """Of what is left, as the next start finds it."""
    with tempfile.TemporaryDirectory(prefix="relay-left-") as name:
        path = Path(name) / "relay.db"
        await asyncio.to_thread(left.write, path)
        return await _problems_of(path, acknowledged)


async def _problems_of(path: Path, acknowledged: set[str]) -> list[str]:
    soundness = await asyncio.to_thread(_check, path)
    store = await open_bench_store(path)
    try:
        account = await store.account("default")
        assert account is not None
        kept = {
            "callbacks": {callback.task_id for callback in (await store.callbacks(account.id, CallbackFilter(), limit=_ALL)).data},
            "tasks": {task.id for task in (await store.tasks(account.id, TaskFilter(status=TaskStatus.SUCCEEDED), limit=_ALL)).data},
            "deliveries": {delivery.task_id for delivery in (await store.deliveries(account.id, DeliveryFilter(), limit=_ALL)).data},
        }
    finally:
        await store.close()
    lost = [f"{len(acknowledged - there)} {noun} lost" for noun, there in kept.items() if acknowledged - there]
    return lost + soundness


def _check(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = [*connection.execute("PRAGMA integrity_check"), *connection.execute("PRAGMA foreign_key_check")]
    return [str(row) for row in found if row != ("ok",)]
