"""The time that all processes go by."""

from datetime import UTC, datetime, timedelta

import pytest

from relay.stores.postgres.clock import SharedClock
from tests.stores.making import NOW
from tests.stores.processes import Crew, Process, Ticks

pytestmark = pytest.mark.anyio


def test_the_time_is_the_database_s_as_soon_as_that_is_known() -> None:
    ticks = Ticks()
    clock = SharedClock(lambda: datetime(2001, 1, 1, tzinfo=UTC), ticks)
    assert clock.now() == datetime(2001, 1, 1, tzinfo=UTC)
    clock.learn(NOW, ticks.at, ticks.at)
    ticks.at += 90
    assert clock.now() == NOW + timedelta(seconds=90)


def test_an_answer_that_can_be_reconciled_with_what_is_known_changes_nothing() -> None:
    ticks = Ticks()
    clock = SharedClock(lambda: NOW, ticks)
    clock.learn(NOW, ticks.at, ticks.at)
    clock.learn(NOW + timedelta(seconds=0.4), ticks.at, ticks.at + 0.5)
    assert clock.now() == NOW
    clock.learn(NOW + timedelta(seconds=3), ticks.at, ticks.at)
    assert clock.now() == NOW + timedelta(seconds=3)


async def test_processes_whose_clocks_are_wrong_go_by_the_same_time(crew: Crew) -> None:
    wrong = timedelta(days=30)
    processes: list[Process] = [
        await crew.start(clock=lambda: datetime.now(UTC) + wrong), await crew.start(clock=lambda: datetime.now(UTC) - wrong)]
    ahead, behind = (process.store.now() for process in processes)
    assert abs(ahead - behind) < timedelta(hours=1)
