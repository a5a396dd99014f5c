"""Very many rows in a moment: copies of rows that Relay wrote by itself, made inside SQLite."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TABLES: Final = ("tasks", "callbacks", "events", "deliveries", "attempts")
_PENDING: Final = {"status": "'pending'", "next_attempt_at": "model.created_at", "attempts": "0", "completed_at": "NULL"}


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Quick and unsafe: if it fails, the file is thrown away."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in ("journal_mode = WAL", "synchronous = OFF", "cache_size = -400000", "foreign_keys = OFF"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def add_finished(path: Path, first: int, last: int, *, per_event: int) -> None:
    """Finished deliveries number `first` to `last`, and all that belongs to them; so many of each event. The file holds one to copy."""
    with _open(path) as connection:
        for table in ("tasks", "callbacks", "events"):
            _copy(connection, table, first // per_event, -(-last // per_event), {})
        _copy(connection, "deliveries", first, last, {
            "event_id": _id("evt", f"(i / {per_event})"), "task_id": _id("task", f"(i / {per_event})")})
        _copy(connection, "attempts", first, last, {})


def add_pending(path: Path, count: int) -> None:
    """Deliveries that are due, each of an event of its own."""
    with _open(path) as connection:
        for table in ("tasks", "callbacks", "events"):
            _copy(connection, table, 0, count, {})
        _copy(connection, "deliveries", 0, count, _PENDING)


def _copy(connection: sqlite3.Connection, table: str, first: int, last: int, given: Mapping[str, str]) -> None:
    """The newest row of the table, again and again under ids of their own; `given`: columns that are different, in SQL over `i`."""
    assert table in _TABLES
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "seq"]
    values = {**{column: f"model.{column}" for column in columns}, **own_ids(table, columns, _id), **given}
    connection.execute(  # the names are ours
        f"""INSERT INTO {table} ({', '.join(columns)})
        WITH RECURSIVE numbers (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < :last)
        SELECT {', '.join(values[column] for column in columns)}
        FROM numbers CROSS JOIN (SELECT * FROM {table} ORDER BY seq DESC LIMIT 1) AS model WHERE :first < :last""",  # noqa: S608 -- as above
        {"first": first, "last": last})


def own_ids(table: str, columns: Sequence[str], make: Callable[[str, str], str]) -> dict[str, str]:
    """What the columns of a copy are that have ids in them, in SQL over `i`."""
    prefixes = {"tasks": "task", "callbacks": "cbk", "events": "evt", "deliveries": "dlv", "attempts": "att"}
    references = {"task_id": "task", "event_id": "evt", "delivery_id": "dlv"}
    return {"id": make(prefixes[table], "i"), **{column: make(prefix, "i") for column, prefix in references.items() if column in columns}}


def _id(prefix: str, number: str) -> str:
    """Older than every real one."""
    return f"'{prefix}_' || printf('%026d', {number})"
