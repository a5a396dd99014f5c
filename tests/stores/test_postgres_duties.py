"""Duties: what one process does for all, and who has it next."""

import asyncio

import pytest

from relay.errors import StoreError
from tests.stores.processes import Crew, Process, see_silence

pytestmark = pytest.mark.anyio


class Candidate:
    """A process that waits for a duty."""

    def __init__(self, process: Process, duty: str = "pruning") -> None:
        self.stopping = asyncio.Event()
        self._process = process
        self._waiting = asyncio.create_task(process.store.take_on(duty, self.stopping))

    async def outcome(self) -> bool:
        async with asyncio.timeout(30):
            return await self._waiting

    async def looks_again(self) -> None:
        """It was woken, and has asked the database."""
        await self._process.beat()
        await self._process.store.check()

    @property
    def is_waiting(self) -> bool:
        return not self._waiting.done()

    async def stop(self) -> bool:
        self.stopping.set()
        self._process.bell.ring_all()
        return await self.outcome()


async def test_a_duty_is_one_process_s_alone(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    assert await Candidate(first).outcome()
    waiting = Candidate(second)
    for _ in range(3):
        await waiting.looks_again()
    assert waiting.is_waiting
    assert not await waiting.stop()


async def test_of_many_who_come_at_once_one_has_it(crew: Crew) -> None:
    candidates = [Candidate(await crew.start()) for _ in range(4)]
    while sum(candidate.is_waiting for candidate in candidates) > 3:
        await asyncio.gather(*(candidate.looks_again() for candidate in candidates))
    await asyncio.gather(*(candidate.looks_again() for candidate in candidates))
    assert sorted([await candidate.stop() for candidate in candidates]) == [False, False, False, True]


async def test_different_duties_may_be_different_processes_(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    assert await Candidate(first, "pruning").outcome()
    assert await Candidate(second, "replays").outcome()


async def test_whoever_has_it_has_it_still_when_it_asks_again(crew: Crew) -> None:
    process = await crew.start()
    assert [await Candidate(process).outcome(), await Candidate(process).outcome()] == [True, True]


@pytest.mark.parametrize("end", ["gives it up", "ends", "dies"])
async def test_the_next_has_it_once_the_first(crew: Crew, end: str) -> None:
    first, second = await crew.start(), await crew.start()
    assert await Candidate(first).outcome()
    waiting = Candidate(second)
    await waiting.looks_again()
    assert waiting.is_waiting
    if end == "gives it up":
        await first.store.give_up("pruning")
    if end == "ends":
        await first.store.close()
    await see_silence(second) if end == "dies" else await second.beat()
    assert await waiting.outcome()


async def test_nobody_gives_up_what_is_another_s(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    assert await Candidate(first).outcome()
    await second.store.give_up("pruning")
    waiting = Candidate(second)
    await waiting.looks_again()
    assert not await waiting.stop()


async def test_one_that_was_taken_for_dead_takes_on_nothing_more(crew: Crew) -> None:
    slow, other = await crew.start(), await crew.start()
    await see_silence(other)
    waiting = Candidate(slow)
    with pytest.raises(StoreError):
        await slow.store.check()
    assert not await waiting.stop()


async def test_nothing_is_taken_on_by_one_that_is_stopping(crew: Crew) -> None:
    candidate = Candidate(await crew.start())
    candidate.stopping.set()
    assert not await candidate.outcome()
