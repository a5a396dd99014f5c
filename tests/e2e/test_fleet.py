"""Three relays on one PostgreSQL: whichever dies, and whatever becomes of the database, the books of all agree at the end."""

import secrets
from pathlib import Path

import pytest

from tests.e2e.loss import lose_a_process, lose_the_database
from tests.postgres import PostgresServer

pytestmark = pytest.mark.anyio

_SECONDS = 20.0


@pytest.mark.parametrize("skews", [pytest.param((), id="clocks agree"), pytest.param((30.0, -30.0, 0.0), id="clocks differ")])
async def test_what_a_process_held_that_was_killed_is_taken_over(
        tmp_path: Path, postgres: PostgresServer, skews: tuple[float, ...]) -> None:
    seed = secrets.randbits(32)
    loss = await lose_a_process(tmp_path, postgres.new_database(), watched=400, seed=seed, skews=skews)
    assert loss.audit.problems == [], f"seed {seed}: {loss}"
    assert loss.audit.accepted > loss.audit.acknowledged > 400
    assert loss.audit.submits > 50
    assert loss.audit.requests >= loss.audit.events >= loss.audit.accepted


async def test_while_the_database_is_away_nothing_is_acknowledged_and_then_all_goes_on_by_itself(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    with PostgresServer() as server:
        absence = await lose_the_database(tmp_path, server, watched=600, seed=seed, seconds=_SECONDS)
    assert absence.audit.problems == [], f"seed {seed}: {absence}"
    assert absence.audit.acknowledged >= 600
    assert absence.refused > 100
    assert absence.idle_cpu < _SECONDS / 5, "a busy loop would take all of it"
    assert max(absence.lines) < 300
