"""Many rows in few statements."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.stores.sqlite.transaction import Transaction

_INSERT = "INSERT INTO things (id, name, size) VALUES :rows"
_UPDATE = """WITH new (id, size) AS (VALUES :rows) UPDATE things SET size = new.size FROM new WHERE things.id = new.id"""
NUMBERS = pytest.mark.parametrize(("number", "statements"), [(0, 0), (1, 1), (32, 1), (33, 2), (100, 4)])


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE things (id TEXT PRIMARY KEY, name TEXT, size INTEGER) STRICT")
        yield connection


def traced(connection: sqlite3.Connection) -> list[str]:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    return statements


@NUMBERS
def test_rows_are_written_thirty_two_at_a_time(connection: sqlite3.Connection, number: int, statements: int) -> None:
    made = traced(connection)
    rows = [{"size": at if at % 3 else None, "unasked": 1, "id": f"{at:03}", "name": f"n{at}, (?) :rows"} for at in range(number)]
    Transaction(connection).run_rows(_INSERT, rows)
    assert len(made) == statements
    connection.set_trace_callback(None)
    assert connection.execute("SELECT id, name, size FROM things ORDER BY id").fetchall() == [
        (row["id"], row["name"], row["size"]) for row in rows]


@NUMBERS
def test_each_row_updates_its_own(connection: sqlite3.Connection, number: int, statements: int) -> None:
    connection.executemany("INSERT INTO things (id, size) VALUES (?, 0)", [(f"{at:03}",) for at in range(101)])
    made = traced(connection)
    Transaction(connection).run_rows(_UPDATE, [{"id": f"{at:03}", "size": at + 1} for at in reversed(range(number))])
    assert len(made) == statements
    connection.set_trace_callback(None)
    expected = [at + 1 if at < number else 0 for at in range(101)]
    assert [size for size, in connection.execute("SELECT size FROM things ORDER BY id")] == expected


@pytest.mark.parametrize("sizes", [
    [None, None], [None, 1], [1, None], [0, 0], [None] * 33 + [1], [False, False], [True, True], [True, False], [False, 1, 0, None],
], ids=str)
def test_what_all_rows_have_is_written_as_what_each_has(connection: sqlite3.Connection, sizes: list[int | None]) -> None:
    rows = [{"id": f"{at:03}", "name": None, "size": size} for at, size in enumerate(sizes)]
    Transaction(connection).run_rows(_INSERT, [{**row, "size": 7} for row in rows])
    assert connection.execute("SELECT name, size FROM things").fetchall() == [(None, 7)] * len(sizes)
    Transaction(connection).run_rows(_UPDATE, rows)
    assert [size for size, in connection.execute("SELECT size FROM things ORDER BY id")] == sizes


def test_a_column_that_a_row_does_not_have_is_a_fault(connection: sqlite3.Connection) -> None:
    with pytest.raises(KeyError, match="size"):
        Transaction(connection).run_rows(_INSERT, [{"id": "1", "name": "n"}])
