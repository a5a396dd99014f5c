"""The ends of many things under one timer."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from relay.deadline import Deadlines
from tests.loops import BOTH_LOOPS

pytestmark = pytest.mark.anyio


class Watched:
    """Tells when it expired. `takes_along`: what is forgotten with it."""

    def __init__(self, deadlines: Deadlines, *takes_along: "Watched") -> None:
        self.expired_at: list[float] = []
        self._deadlines = deadlines
        self._takes_along = takes_along
        self._expired = asyncio.Event()

    def expire(self) -> None:
        self.expired_at.append(time.monotonic())
        for other in self._takes_along:
            self._deadlines.forget(other)
        self._expired.set()

    async def has_expired(self) -> None:
        async with asyncio.timeout(10):
            await self._expired.wait()


@pytest.fixture
async def deadlines(anyio_backend: object) -> AsyncIterator[Deadlines]:  # noqa: ARG001 -- the plugin wants it
    made = Deadlines()
    yield made
    made.close()


def timers() -> int:
    """Those that asyncio's own loop has before it."""
    return sum(not handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined] # noqa: SLF001 -- it tells nobody


@BOTH_LOOPS
class TestEnd:
    """Whatever else is watched, each has its own."""

    async def test_what_is_watched_expires_once_and_never_before_its_end(self, deadlines: Deadlines) -> None:
        watched = [Watched(deadlines) for _ in range(20)]
        ends = [time.monotonic() + 0.003 * place for place in range(20)]
        for one, end in zip(watched, ends, strict=True):
            deadlines.watch(one, end)
        for one in watched:
            await one.has_expired()
        assert [len(one.expired_at) for one in watched] == [1] * 20
        assert all(one.expired_at[0] >= end for one, end in zip(watched, ends, strict=True))

    async def test_an_end_that_is_sooner_than_those_known_is_kept_too(self, deadlines: Deadlines) -> None:
        late, soon = Watched(deadlines), Watched(deadlines)
        deadlines.watch(late, time.monotonic() + 3600)
        deadlines.watch(soon, time.monotonic() + 0.01)
        await soon.has_expired()
        assert late.expired_at == []

    async def test_after_a_look_that_found_nothing_over_the_next_end_is_kept(self, deadlines: Deadlines) -> None:
        in_time, late = Watched(deadlines), Watched(deadlines)
        deadlines.watch(in_time, time.monotonic() + 0.01)
        deadlines.watch(late, time.monotonic() + 0.05)
        deadlines.forget(in_time)
        await late.has_expired()
        assert in_time.expired_at == []

    async def test_what_was_forgotten_does_not_expire(self, deadlines: Deadlines) -> None:
        end = time.monotonic() + 0.01
        forgotten, other = Watched(deadlines), Watched(deadlines)
        deadlines.watch(forgotten, end)
        deadlines.watch(other, end)
        deadlines.forget(forgotten)
        deadlines.forget(forgotten)
        await other.has_expired()
        assert forgotten.expired_at == []

    async def test_what_is_forgotten_at_the_end_of_another_does_not_expire_with_it(self, deadlines: Deadlines) -> None:
        end = time.monotonic()
        taken_along = Watched(deadlines)
        first, last = Watched(deadlines, taken_along), Watched(deadlines)
        for one in (first, taken_along, last):
            deadlines.watch(one, end)
        await last.has_expired()
        assert (len(first.expired_at), taken_along.expired_at) == (1, [])

    async def test_an_end_can_be_moved(self, deadlines: Deadlines) -> None:
        moved, other = Watched(deadlines), Watched(deadlines)
        deadlines.watch(moved, time.monotonic() + 0.01)
        deadlines.watch(moved, time.monotonic() + 3600)
        deadlines.watch(other, time.monotonic() + 0.02)
        await other.has_expired()
        assert moved.expired_at == []

    async def test_after_the_close_nothing_expires_and_it_can_be_used_again(self, deadlines: Deadlines) -> None:
        before, after = Watched(deadlines), Watched(deadlines)
        deadlines.watch(before, time.monotonic())
        deadlines.close()
        deadlines.watch(after, time.monotonic() + 0.01)
        await after.has_expired()
        assert before.expired_at == []


async def test_however_much_is_watched_there_is_one_timer_and_none_when_all_is_over(deadlines: Deadlines) -> None:
    before = timers()
    watched = [Watched(deadlines) for _ in range(100)]
    for place, one in enumerate(watched):
        deadlines.watch(one, time.monotonic() + 0.05 - place / 10_000)
    assert timers() == before + 1
    for one in watched:
        await one.has_expired()
    assert timers() == before
