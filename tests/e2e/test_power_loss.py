"""The power fails under load: what was acknowledged is on the disk, whatever became of the bytes that were not yet synced."""

import secrets
from pathlib import Path

import pytest

from tests.e2e.blackout import black_out

pytestmark = pytest.mark.anyio


async def test_what_a_power_loss_leaves_is_sound_and_holds_every_acknowledged_callback(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    found = await black_out(tmp_path, instants=6, watched=1500, seed=seed)
    assert found.problems == [], f"seed {seed}: {found}"
    assert found.acknowledged > 100
