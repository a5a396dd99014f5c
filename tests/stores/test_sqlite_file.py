"""The file: one owner, its tables, and what stands in the way of opening it."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from relay.bell import Bell
from relay.errors import ConfigError, StoreError
from relay.ids import new_id
from relay.stores.migrations import migrations
from relay.stores.sqlite import SqliteStore, migrate, open_store
from tests.stores.making import Ids, Shelf, after, link

pytestmark = pytest.mark.anyio

_HOLD = """
import sys, pathlib
from relay.stores.sqlite.lock import OwnerLock
lock = OwnerLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


async def opened(path: Path) -> SqliteStore:
    return await open_store(path, bell=Bell(), link=link, new_id=new_id)


async def test_a_second_process_on_the_file_is_refused_at_once_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with subprocess.Popen([sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:  # noqa: ASYNC220
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=rf"relay\.db is in use by another relay process \(pid {owner.pid}\)"):
            await opened(path)
        with pytest.raises(ConfigError, match="is in use"):
            migrate(path)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    await (await opened(path)).close()


async def test_a_second_store_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    first = await opened(tmp_path / "relay.db")
    with pytest.raises(ConfigError, match="is in use"):
        await opened(tmp_path / "relay.db")
    await first.check()
    await first.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"relay\.db cannot be opened as a database"):
        await opened(path)
    path.unlink()
    await (await opened(path)).close()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere/relay\.db cannot be used: No such file"):
        await opened(tmp_path / "nowhere" / "relay.db")


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO migrations (number, name) VALUES (9999, '9999_future')")
    with pytest.raises(ConfigError, match=r"relay\.db was made by a newer version of relay \(step 9999"):
        await opened(path)


async def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    store = await opened(tmp_path / "relay.db")
    await store.check()
    names = ("relay.db", "relay.db-wal", "relay.db-shm", "relay.db.lock")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names]
    await store.close()
    assert modes == [0o600] * len(names)


def test_migrating_names_what_it_applied_and_does_it_once(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    assert migrate(path) == [migration.name for migration in migrations("sqlite")]
    assert migrate(path) == []


def test_each_migration_is_one_transaction_that_records_itself(tmp_path: Path) -> None:
    steps = migrations("sqlite")
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    migrate(tmp_path / "relay.db")
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        assert connection.execute("SELECT number, name FROM migrations").fetchall() == [(step.number, step.name) for step in steps]
    for step in steps:
        assert (step.sql.count("BEGIN IMMEDIATE;"), step.sql.count("COMMIT;")) == (1, 1)


def test_a_migration_that_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE attempts (stranger TEXT)")
    with pytest.raises(StoreError, match="attempts already exists"):
        migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        names = {name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"attempts", "migrations"}


def test_every_table_is_strict_and_every_constraint_has_a_name(tmp_path: Path) -> None:
    migrate(tmp_path / "relay.db")
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
        strict = {name for _, name, kind, _, _, is_strict in connection.execute("PRAGMA table_list") if kind == "table" and is_strict}
    assert len(tables) >= 12
    for name, sql in tables:
        assert name in strict
        for keyword in ("PRIMARY KEY", "UNIQUE", "REFERENCES", "CHECK ("):
            assert sql.count(keyword) <= sql.count("CONSTRAINT"), f"{name}: a {keyword} without a name"
        assert sum(sql.count(keyword) for keyword in ("PRIMARY KEY", "UNIQUE", "REFERENCES", "CHECK (")) == sql.count("CONSTRAINT"), name


@pytest.mark.parametrize("statement", [
    "UPDATE tasks SET status = 'lost'", "UPDATE tasks SET status = 'failed', leased = 1", "UPDATE tasks SET via = 'pigeon'",
    "UPDATE tasks SET completed_at = 1", "UPDATE tasks SET created_at = 'noon'",
])
def test_a_state_that_does_not_exist_cannot_be_written(tmp_path: Path, statement: str) -> None:
    migrate(tmp_path / "relay.db")
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        connection.execute("INSERT INTO accounts (id, name, created_at) VALUES ('acc_1', 'a', 0)")
        connection.execute(
            """INSERT INTO tasks (id, account_id, provider, input, status, images, metadata, created_at, accepted, watched, sends, polls)
            VALUES ('task_1', 'acc_1', 'kie', '{}', 'queued', '[]', '{}', 0, 0, 0, 0, 0)""")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)


async def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "relay.db").mkdir()  # root may write anything but a folder
    else:
        (tmp_path / "relay.db").touch(mode=0o400)
    with pytest.raises(StoreError, match=r"relay\.db cannot be opened as a database"):
        await opened(tmp_path / "relay.db")


async def test_a_first_attempt_is_due_after_the_wait_that_the_store_was_opened_with(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "relay.db", bell=Bell(), link=link, new_id=Ids(), first_wait=30.0)
    shelf = Shelf(store)
    await shelf.add_account("default")
    await shelf.subscribe()
    assert (await shelf.deliver()).next_attempt_at == after(seconds=30)
    await store.close()
