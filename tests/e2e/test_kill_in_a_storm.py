"""kill -9 at random moments, with everything going on at once: the books of all who have to do with a relay agree at the end."""

import secrets
from pathlib import Path

import pytest

from tests.e2e.storm import storm

pytestmark = pytest.mark.anyio


async def test_what_was_acknowledged_is_delivered_and_nothing_is_submitted_twice(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    audit = await storm(tmp_path, kills=8, watched=600, seed=seed)
    assert audit.problems == [], f"seed {seed}: {audit}"
    assert audit.accepted > audit.acknowledged > 600
    assert audit.submits > 50
    assert audit.requests >= audit.events >= audit.accepted
