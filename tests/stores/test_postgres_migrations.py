"""Steps of the schema taken while others are at work, or at the same step."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from relay.bell import Bell
from relay.errors import StoreError
from relay.stores.migrations import Migration, migrations
from relay.stores.postgres import connection, migrate, schema
from relay.stores.postgres.lock import key_of
from relay.stores.postgres.transaction import Transaction
from tests.postgres import PostgresServer
from tests.stores.conftest import postgres_opener

pytestmark = pytest.mark.anyio


async def somebody_waits(other: asyncpg.Connection) -> None:
    async with asyncio.timeout(30):
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)


async def test_whoever_starts_while_another_is_at_a_long_step_waits(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_STATEMENT_SECONDS", 0.5)
    url = postgres.new_database()
    other = await asyncpg.connect(url)
    await other.execute("SELECT pg_advisory_lock($1)", key_of("migrations"))
    migrating = asyncio.create_task(asyncio.to_thread(migrate, url))
    await somebody_waits(other)
    await other.execute("SELECT pg_sleep(1)")
    await other.execute("SELECT pg_advisory_unlock($1)", key_of("migrations"))
    assert await migrating == [step.name for step in migrations("postgres")]
    await other.close()


@pytest.fixture
async def busy(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """A database before a step that changes a table, and a connection at work in that table; a step waits for it a tenth of a second."""
    url = postgres.new_database()
    await asyncio.to_thread(migrate, url)
    later = Migration(9999, "9999_later", "ALTER TABLE tasks ADD COLUMN later text; INSERT INTO migrations VALUES (9999, ''); COMMIT")
    monkeypatch.setattr(schema, "migrations", lambda dialect: [*migrations(dialect), later])
    monkeypatch.setattr(schema, "_TABLE_MILLISECONDS", 100)
    monkeypatch.setattr(schema, "_PAUSES", (0.01,))
    other = await asyncpg.connect(url)
    await other.execute("BEGIN; LOCK TABLE tasks IN ROW EXCLUSIVE MODE")
    yield url, other
    await other.close()


async def test_a_step_never_waits_long_for_a_table(busy: tuple[str, asyncpg.Connection]) -> None:
    url, other = busy
    with pytest.raises(StoreError, match="lock timeout"):
        await asyncio.to_thread(migrate, url)
    await other.execute("ROLLBACK")
    assert await asyncio.to_thread(migrate, url) == ["9999_later"]


async def test_a_step_that_finds_a_table_in_use_is_tried_again(
        busy: tuple[str, asyncpg.Connection], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    url, other = busy
    monkeypatch.setattr(schema, "_PAUSES", (0.01,) * 300)
    migrating = asyncio.create_task(asyncio.to_thread(migrate, url))
    async with asyncio.timeout(30):
        while "a table is in use" not in caplog.text:
            await asyncio.sleep(0.01)
    await other.execute("ROLLBACK")
    assert await migrating == ["9999_later"]


async def test_a_step_that_gave_way_in_a_deadlock_is_tried_again(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.new_database()
    await asyncio.to_thread(migrate, url)
    other = await asyncpg.connect(url)
    await other.execute("CREATE SEQUENCE tries")  # what it has counted no rollback takes back
    later = Migration(9999, "9999_later", """DO $$ BEGIN IF nextval('tries') = 1 THEN RAISE deadlock_detected; END IF; END $$;
        INSERT INTO migrations VALUES (9999, ''); COMMIT""")
    monkeypatch.setattr(schema, "migrations", lambda dialect: [*migrations(dialect), later])
    monkeypatch.setattr(schema, "_PAUSES", (0.01,))
    assert await asyncio.to_thread(migrate, url) == ["9999_later"]
    assert await other.fetchval("SELECT last_value FROM tries") == 2
    await other.close()


async def test_what_the_database_isolates_by_default_is_of_no_account(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    other = await asyncpg.connect(url)
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")
    await other.close()
    store = await postgres_opener(url)(Bell())

    async def isolation(transaction: Transaction) -> str:
        row = await transaction.fetch_one("SELECT current_setting('transaction_isolation') AS name", {})
        return str(row["name"]) if row else ""

    assert await store._writer.write_alone(isolation) == "read committed"  # noqa: SLF001 -- what every write goes by
    await store.close()
