"""What cannot be kept is refused and never acknowledged, and when the trouble is over Relay goes on by itself."""

from pathlib import Path

import pytest

from tests.e2e.outage import disk_full, held_by_a_stranger

pytestmark = pytest.mark.anyio

_CALLERS = 16
_LINES = 60  # of the log in an outage, beside one for each request that was refused


async def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_kept(tmp_path: Path) -> None:
    outage = await disk_full(tmp_path, watched=500)
    assert outage.audit.problems == []
    assert outage.audit.acknowledged == 500
    assert outage.refused >= 50
    assert outage.lines <= outage.refused + _LINES


async def test_while_a_stranger_holds_the_database_nothing_is_acknowledged_and_reading_goes_on(tmp_path: Path) -> None:
    outage = await held_by_a_stranger(tmp_path, watched=400, seconds=7)
    assert outage.audit.problems == []
    assert outage.audit.acknowledged == 400
    assert outage.taken <= _CALLERS, "more than was on its way already"
    assert outage.lines <= outage.refused + _LINES
