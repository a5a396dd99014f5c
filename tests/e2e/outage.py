"""The disk is full, or a stranger holds the database, for a while and in the middle of everything.

The limit on the size of files stands in for a full disk: the process itself goes on, and every write behind the limit fails.
"""

import asyncio
import contextlib
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.e2e.crowd import Audit, at_rest, audit
from tests.e2e.harness import Api
from tests.e2e.storm import Scene, open_scene

_PAUSE: Final = 0.05
_ROOM: Final = 100_000  # bytes, of each file: the database is larger already
_REFUSALS: Final = 50


class Outage(Struct, frozen=True, kw_only=True):
    """`refused`: how many callbacks met a 503. `lines`: how much the log grew meanwhile. `taken`: what was acknowledged meanwhile."""

    audit: Audit
    refused: int
    lines: int
    taken: int

    def __str__(self) -> str:
        return f"{self.audit}; meanwhile {self.taken} acknowledged, {self.refused} times 503, {self.lines} lines in the log"


async def disk_full(folder: Path, *, watched: int) -> Outage:
    """Twice; the second time the process is killed before there is room again."""
    async with open_scene(folder) as scene, asyncio.TaskGroup() as load:
        await scene.crowd.watch(watched)
        load.create_task(scene.crowd.call_back(_PAUSE), name="callbacks")
        with _watched(scene) as seen, _full_disk(scene.relay.pid):
            await _see_it_refuse(scene)
        await scene.is_ready()
        await scene.crowd.until(lambda crowd: len(crowd.acknowledged) >= watched // 2)
        with _full_disk(scene.relay.pid):
            await _see_it_refuse(scene)
            await scene.relay.kill()  # whatever was acknowledged and stood in memory only is lost now
        await scene.relay.start()
        return await _end(scene, seen)


async def held_by_a_stranger(folder: Path, *, watched: int, seconds: float) -> Outage:
    """By a backup that hangs, or a shell that was left open."""
    async with open_scene(folder) as scene, asyncio.TaskGroup() as load:
        await scene.crowd.watch(watched)
        load.create_task(scene.crowd.call_back(_PAUSE), name="callbacks")
        await scene.crowd.until(lambda crowd: len(crowd.acknowledged) >= watched // 4)
        with _held(scene.database), _watched(scene) as seen:
            await _read_for_a_while(scene.api, seconds)
        await scene.is_ready()
        return await _end(scene, seen)


class _Seen(Struct):
    refused: int
    lines: int
    taken: int


@contextlib.contextmanager
def _watched(scene: Scene) -> Iterator[_Seen]:
    """What has changed while this was open."""
    seen = _books(scene)
    yield seen
    now = _books(scene)
    seen.refused, seen.lines, seen.taken = now.refused - seen.refused, now.lines - seen.lines, now.taken - seen.taken


def _books(scene: Scene) -> _Seen:
    crowd = scene.crowd
    return _Seen(refused=crowd.asking.refused, lines=scene.log.read_bytes().count(b"\n"), taken=len(crowd.acknowledged))


async def _end(scene: Scene, seen: _Seen) -> Outage:
    await scene.crowd.until(lambda crowd: len(crowd.acknowledged) == len(crowd.accepted))
    result = audit(await at_rest(scene.api), scene.crowd, scene.inbox)
    return Outage(audit=result, refused=seen.refused, lines=seen.lines, taken=seen.taken)


@contextlib.contextmanager
def _full_disk(pid: int) -> Iterator[None]:
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (_ROOM, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


async def _see_it_refuse(scene: Scene) -> None:
    before = scene.crowd.asking.refused
    await scene.crowd.until(lambda crowd: crowd.asking.refused >= before + _REFUSALS)
    refusal = await scene.api.get("/readyz")
    assert (refusal.status_code, int(refusal.headers["retry-after"]) > 0) == (503, True)
    await _read(scene.api)


@contextlib.contextmanager
def _held(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None, timeout=20)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        yield
        stranger.execute("ROLLBACK")


async def _read_for_a_while(api: Api, seconds: float) -> None:
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        await _read(api)
        await asyncio.sleep(_PAUSE)


async def _read(api: Api) -> None:
    for path in ("/healthz", "/api/v1/tasks", "/api/v1/events", "/api/v1/deliveries", "/api/v1/callbacks"):
        assert (await api.get(path, timeout=3)).status_code == 200
