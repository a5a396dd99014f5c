"""The stores that the suite runs on: whatever `opener` opens has to pass every test here but those named after one database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from relay.bell import Bell
from relay.ports.store import Store
from relay.stores import postgres, sqlite
from relay.stores.postgres import migrate
from tests.postgres import PostgresServer
from tests.stores.making import Ids, Shelf, link
from tests.stores.processes import Crew

Opener = Callable[[Bell], Awaitable[Store]]


@pytest.fixture(params=["sqlite", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens a store, each time on the same data."""
    if request.param == "postgres":
        return postgres_opener(request.getfixturevalue("database"))
    ids = Ids()

    async def open_sqlite(bell: Bell) -> Store:
        return await sqlite.open_store(tmp_path / "relay.db", bell=bell, link=link, new_id=ids)

    return open_sqlite


def postgres_opener(url: str) -> Callable[[Bell], Awaitable[postgres.PostgresStore]]:
    """Opens stores on that database, as so many processes would."""
    ids = Ids()

    async def open_postgres(bell: Bell) -> postgres.PostgresStore:
        return await postgres.open_store(url, bell=bell, link=link, new_id=ids, clock=lambda: datetime.now(UTC))

    return open_postgres


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
async def store(opener: Opener, bell: Bell) -> AsyncIterator[Store]:
    opened = await opener(bell)
    yield opened
    await opened.close()


@pytest.fixture
async def shelf(store: Store) -> Shelf:
    """The store with an account on it."""
    shelf = Shelf(store)
    await shelf.add_account("default")
    return shelf


@pytest.fixture(scope="session")
def shared_database(postgres: PostgresServer) -> str:
    """The tables are made once: to empty them takes a tenth of the time."""
    url = postgres.new_database()
    migrate(url)
    return url


@pytest.fixture
async def database(shared_database: str) -> str:
    """A database with nothing in its tables."""
    connection = await asyncpg.connect(shared_database)
    try:
        await connection.execute(await connection.fetchval(
            """SELECT 'SET session_replication_role = replica; ' || string_agg(format('DELETE FROM %I', tablename), '; ')
            FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'migrations'"""))
    finally:
        await connection.close()
    return shared_database


@pytest.fixture
async def crew(database: str) -> AsyncIterator[Crew]:
    """Processes on one database."""
    async with AsyncExitStack() as stack:
        yield Crew(database, stack)
