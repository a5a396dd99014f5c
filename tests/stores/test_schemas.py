"""The tables of both databases are the same, but for what is listed here with its reason."""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import pytest

from relay.stores import sqlite
from relay.stores.migrations import migrations

pytestmark = pytest.mark.anyio

_LEASED: Final = {"tasks", "deliveries", "calls"}
"""`leased`, which is 0 or 1 where there is one process, is `holder`, its name, where there are many."""

_OF_MANY: Final = {"processes", "duties"}
"""Tables for processes that share a database."""

_ONLY_SQLITE: Final = {"probe.count": "written to by whoever asks whether it can be; of many processes each has a row of its own for that"}

_ONLY_POSTGRES: Final = {
    "accounts.changes": "other processes are to see that what they keep in memory is not so any more",
    "lanes.holder": "one process at a time sends to a subscription",
}

_INDEXES_ONLY_POSTGRES: Final = {
    "tasks_leased": "found by their holder; with one process they are found by their status",
    "lanes_leased": "found by their holder",
}

_CONSTRAINTS_ONLY_SQLITE: Final = {
    "callbacks_account": "every row would lock that of its account", "events_account": "as above", "deliveries_account": "as above",
}

_TYPES: Final = {"INTEGER": {"bigint", "boolean"}, "TEXT": {"text"}, "REAL": {"double precision"}, "BLOB": {"bytea"}}


class _Column(NamedTuple):
    kind: str
    is_required: bool


Columns = dict[str, _Column]
"""By table.column."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    sqlite.migrate(tmp_path / "relay.db")
    return tmp_path / "relay.db"


def test_both_know_the_same_steps() -> None:
    assert [step.name for step in migrations("sqlite")] == [step.name for step in migrations("postgres")]


async def test_both_have_the_same_columns(file: Path, database: str) -> None:
    expected, found = _columns_of_sqlite(file), await _columns_of_postgres(database)
    for name in _ONLY_SQLITE:
        del expected[name]
    assert set(found) - set(_ONLY_POSTGRES) == set(expected)
    assert {name for name in expected if found[name].is_required != expected[name].is_required} == set()
    assert {name: found[name].kind for name in expected if found[name].kind not in _TYPES[expected[name].kind]} == {}


async def test_a_flag_is_a_boolean_and_nothing_else_is(file: Path, database: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        made = " ".join(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    flags = set(re.findall(r"CONSTRAINT (\w+)_flag", made)) - {f"{table}_leased" for table in _LEASED}
    found = await _columns_of_postgres(database)
    assert {name.replace(".", "_") for name, column in found.items() if column.kind == "boolean"} == flags


async def test_both_have_the_same_indexes(file: Path, database: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        expected = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")}
    rows = await _fetch(
        database, """SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid::regclass::text = ANY(
            SELECT tablename::text FROM pg_tables WHERE schemaname = 'public')
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))""")
    assert {row["name"] for row in rows} - set(_INDEXES_ONLY_POSTGRES) == expected


async def test_both_have_the_same_constraints(file: Path, database: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        made = " ".join(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL"))
    expected = {name for name in re.findall(r"CONSTRAINT (\w+)", made) if not name.endswith("_flag")}
    rows = await _fetch(
        database, "SELECT conname AS name FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'")
    of_many = {f"{table}_key" for table in _OF_MANY}
    assert {row["name"] for row in rows} - of_many == expected - set(_CONSTRAINTS_ONLY_SQLITE)


async def test_both_have_the_same_views(file: Path, database: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        expected = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")}
    rows = await _fetch(database, "SELECT viewname AS name FROM pg_views WHERE schemaname = 'public'")
    assert {row["name"] for row in rows} == expected


def _columns_of_sqlite(file: Path) -> Columns:
    """A row's number is always there, though SQLite does not say so."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        tables = [name for (name,) in found]
        return {f"{table}.{name}": _Column(kind, bool(required or key)) for table in tables
                for _, name, kind, required, _, key in connection.execute(f"PRAGMA table_info({table})")}


async def _columns_of_postgres(url: str) -> Columns:
    rows = await _fetch(
        url, """SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns JOIN pg_tables
        ON tablename = table_name AND schemaname = table_schema WHERE table_schema = 'public'""")
    return {_name(row): _column(row) for row in rows if row["table_name"] not in _OF_MANY}


def _name(row: Mapping[str, Any]) -> str:
    is_lease = row["column_name"] == "holder" and row["table_name"] in _LEASED
    return f"{row['table_name']}.{'leased' if is_lease else row['column_name']}"


def _column(row: Mapping[str, Any]) -> _Column:
    """A lease is of another type, and null where nobody has it."""
    if row["column_name"] == "holder" and row["table_name"] in _LEASED:
        return _Column("bigint", is_required=True)
    return _Column(row["data_type"], row["is_nullable"] == "NO")


async def _fetch(url: str, sql: str) -> list[Mapping[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Mapping[str, Any]] = await connection.fetch(sql)
        return rows
    finally:
        await connection.close()
