"""Behind a PgBouncer in transaction mode no hint is heard, and no session is anybody's: everything works all the same."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.crowd import at_rest, audit
from tests.e2e.fleet import open_fleet
from tests.e2e.pooler import open_pooler
from tests.postgres import PostgresServer

pytestmark = pytest.mark.anyio


async def test_two_relays_share_a_database_through_a_pool(tmp_path: Path, postgres: PostgresServer) -> None:
    with open_pooler(postgres.port) as port:
        direct = postgres.new_database()
        pooled = f"postgresql://relay@127.0.0.1:{port}{urlsplit(direct).path}?statement_cache_size=0"
        async with open_fleet(tmp_path, direct, count=2, RELAY_DATABASE_URL=pooled) as fleet:
            is_over = asyncio.Event()
            submitting = asyncio.create_task(fleet.crowd.submit(is_over, fleet.chance, 0.1), name="submits")
            await fleet.crowd.watch(150)
            await fleet.crowd.call_back()
            is_over.set()
            await submitting
            found = audit(await at_rest(fleet.api, fleet.studio), fleet.crowd, fleet.inbox, fleet.studio)
    assert found.problems == []
    assert found.submits > 5
