"""An installation on SQLite moves to PostgreSQL: everything or nothing."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from relay.bell import Bell
from relay.errors import ConfigError, StoreError
from relay.model import Note
from relay.ports.store import Idempotency
from relay.stores import sqlite
from relay.stores.moving_in import move_in
from relay.stores.postgres.statement import escaped
from relay.stores.sqlite import open_export
from relay.stores.sqlite.lock import OwnerLock
from relay.stores.table import Table
from relay.vault import SecretLost
from tests.postgres import PostgresServer
from tests.stores.conftest import postgres_opener
from tests.stores.making import NOW, Ids, Shelf, after, link

pytestmark = pytest.mark.anyio

_FOREIGN: Final = "a light\0house, \x1a, and \x1a0"
_OF_ITS_OWN: Final = ("leased", "holder", "changes")
_TABLES: Final = {"accounts", "keys", "tasks", "idempotency", "notes", "callbacks", "events", "subscriptions", "alarms", "replays",
                  "deliveries", "attempts", "counts", "moves", "calls"}


@pytest.fixture
async def source(tmp_path: Path) -> Path:
    """A file as a crash leaves it: one submission and one delivery are held, another delivery waits, to another subscription."""
    path = tmp_path / "relay.db"
    store = await sqlite.open_store(path, bell=Bell(), link=link, new_id=Ids())
    shelf = Shelf(store)
    await shelf.add_account("default")
    await shelf.subscribe(max_concurrent=1)
    opened = await shelf.add_open_task(prompt=_FOREIGN, metadata={"order": "7"}, cost=0.25)
    await store.schedule(opened.id, at=NOW, polled=True, note=Note(task_id=opened.id, at=NOW, kind="poll_failed", detail=_FOREIGN))
    await shelf.finish(opened)
    [delivered] = await shelf.claim_jobs()
    await shelf.settle(delivered.delivery)
    await shelf.subscribe(url="https://b.example/hook")
    await shelf.finish(await shelf.add_open_task())
    await shelf.claim_jobs(limit=1)
    await shelf.add_task(idempotency=Idempotency(key="once", fingerprint="f"))
    await shelf.send()
    await store.close()
    return path


async def moved(path: Path, url: str, **given: Any) -> dict[str, int]:
    return await asyncio.to_thread(lambda: move_in(path, url, **{"opens": str, "tell": lambda _table, _rows: None, **given}))


async def fetched(url: str, sql: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def stored(path: Path, table: str) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608 -- the tests' own word


@pytest.fixture
def target(postgres: PostgresServer) -> str:
    return postgres.new_database()


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Shelf]:
    store = await postgres_opener(url)(Bell())
    try:
        shelf = Shelf(store)
        shelf.id = Ids(1000)
        yield shelf
    finally:
        await store.close()


async def test_every_row_is_there_as_it_was_but_for_who_held_it(source: Path, target: str) -> None:
    counts = await moved(source, target)
    assert set(counts) == _TABLES
    assert counts["tasks"] == 3
    assert counts["deliveries"] == 3
    for table, count in counts.items():
        there = await fetched(target, f"SELECT * FROM {table}")  # noqa: S608 -- as above
        here = stored(source, table)
        assert len(there) == len(here) == count
        assert sorted(map(_in_words, there)) == sorted(map(_in_words, here))
        assert not [row for row in there if row.get("holder")]


def _in_words(row: dict[str, Any]) -> str:
    """What both kinds of store have in common, and that in the same words."""
    kept = {name: int(value) if isinstance(value, bool) else value for name, value in row.items() if name not in _OF_ITS_OWN}
    return str(sorted((name, escaped(value) if isinstance(value, str) and "\0" in value else value) for name, value in kept.items()))


async def test_the_store_goes_on_with_it(source: Path, target: str) -> None:
    await moved(source, target)
    async with opened(target) as shelf:
        account = await shelf.store.account("default")
        assert account
        shelf.account_id = account.id
        [task] = [row["id"] for row in stored(source, "tasks") if row["prompt"] == _FOREIGN]
        timeline = await shelf.store.timeline(account.id, task)
        assert timeline
        assert (timeline.task.prompt, timeline.notes[0].detail) == (_FOREIGN, _FOREIGN)
        assert len(await shelf.claim_jobs(now=after(hours=1))) == 2, "what was held is free"
        assert len(await shelf.store.doubtful("kie")) == 1
        await shelf.add_account("another")  # its number in the order of recording is a new one
        await shelf.add_task()


async def test_a_database_that_has_something_in_it_is_refused(source: Path, target: str) -> None:
    async with opened(target) as shelf:
        await shelf.add_account("default")
    with pytest.raises(ConfigError, match="not empty, there is something in accounts"):
        await moved(source, target)
    assert await fetched(target, "SELECT id FROM tasks") == []


async def test_a_file_that_a_process_owns_is_refused(source: Path, target: str) -> None:
    owner = OwnerLock(source)
    try:
        with pytest.raises(ConfigError, match="in use by another relay process"):
            await moved(source, target)
    finally:
        owner.release()


async def test_what_is_no_database_of_this_version_is_refused(source: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        await moved(tmp_path / "absent.db", target)
    (tmp_path / "letter").write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(StoreError, match="cannot be read as a database"):
        await moved(tmp_path / "letter", target)
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("INSERT INTO migrations (number, name) VALUES (9999, '9999_later')")
        connection.commit()
    with pytest.raises(ConfigError, match="another version of relay"):
        await moved(source, target)


async def test_with_keys_that_open_nothing_it_is_not_begun(source: Path, target: str) -> None:
    def lost(_: str) -> str:
        raise SecretLost

    with pytest.raises(SecretLost):
        await moved(source, target, opens=lost)
    assert await fetched(target, "SELECT 1 FROM pg_tables WHERE tablename = 'tasks'") == []


async def test_if_one_row_cannot_be_taken_nothing_is(source: Path, target: str) -> None:
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("UPDATE attempts SET delivery_id = 'dlv_nobody'")
        connection.commit()
    with pytest.raises(StoreError):
        await moved(source, target)
    assert await fetched(target, "SELECT id FROM accounts") == []
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("DELETE FROM attempts")
        connection.commit()
    assert (await moved(source, target))["accounts"] == 1, "it can be begun again"


async def test_each_batch_is_told(source: Path, target: str) -> None:
    told: dict[str, int] = {}

    def tell(table: Table, rows: int) -> None:
        told[table.name] = told.get(table.name, 0) + rows

    counts = await moved(source, target, tell=tell)
    assert told == {name: count for name, count in counts.items() if count}


async def test_the_file_is_left_as_it_is(source: Path) -> None:
    before = {path.name: path.read_bytes() for path in source.parent.iterdir() if path.suffix == ".db"}
    with open_export(source) as export:
        assert sum(len(batch) for table in export.tables for batch in export.rows(table)) == sum(table.count for table in export.tables)
    assert {path.name: path.read_bytes() for path in source.parent.iterdir() if path.suffix == ".db"} == before
