"""A start after a crash with very much to do: the first delivery goes out at once."""

import pytest

from tests.bench.crash import LONGEST_RESTART, restarted

pytestmark = pytest.mark.anyio


async def test_killed_with_a_backlog_it_delivers_again_within_five_seconds_of_its_start() -> None:
    async with restarted(20_000) as again:
        assert again.seconds <= LONGEST_RESTART
