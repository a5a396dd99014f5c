"""Questions keep to the provider's query rate."""

import asyncio

import pytest

from relay.ports import Rate
from relay.tasks.poll import Pace

pytestmark = pytest.mark.anyio


async def test_turns_are_spaced_evenly_by_the_rate() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace(Rate(count=50, seconds=1.0), loop.time)
    began = loop.time()
    await asyncio.gather(*(pace.turn() for _ in range(11)))
    assert loop.time() - began >= 0.2


async def test_without_a_rate_nobody_waits() -> None:
    pace = Pace(None, lambda: 0.0)
    async with asyncio.timeout(1):
        await asyncio.gather(*(pace.turn() for _ in range(1000)))
