"""Connections to the file, and the one edge where SQLite's errors become ours.

WAL with synchronous=FULL: a commit is on the disk before it returns, and readers never wait for the writer. Tasks that share
one connection share its transaction, so the writing connection belongs to the writer alone, and the readers, which may be
shared, run single statements only.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from relay.errors import StoreError

Parameters = Mapping[str, Any]
Row = dict[str, Any]
"""By column name. Rows are turned into dicts once: sqlite3.Row looks a name up by comparing it with each column."""

BUSY_MS = 5000  # how long to wait for a stranger (a backup, a shell) who holds the file
_READERS = 3
_STATEMENTS = 1024  # more than the writer has, so that each is prepared once


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors, and aiosqlite's ValueError for a closed connection, as StoreError."""
    try:
        yield
    except (sqlite3.Error, ValueError) as exc:
        raise StoreError(f"the database cannot be read: {exc}") from exc


def connect_writer(path: Path) -> sqlite3.Connection:
    """To be used by one thread at a time. It does not wait for a stranger. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False, cached_statements=_STATEMENTS)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA temp_store = MEMORY")  # else what a statement could have to undo is written to a file beside the log
    return connection


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=BUSY_MS / 1000)
    connection.row_factory = sqlite3.Row
    return connection


def _as_rows(fetched: Iterable[sqlite3.Row]) -> list[Row]:
    rows = list(fetched)
    columns = rows[0].keys() if rows else []
    return [dict(zip(columns, row, strict=True)) for row in rows]


class Readers:
    """A few connections that only read, each with a thread of its own."""

    def __init__(self, connections: list[aiosqlite.Connection]) -> None:
        self._waiting = dict.fromkeys(connections, 0)

    @classmethod
    async def open(cls, path: Path) -> "Readers":
        """Raises sqlite3.Error."""
        connections: list[aiosqlite.Connection] = []
        try:
            for _ in range(_READERS):
                connections.append(await _connect(path))
                await connections[-1].execute_fetchall("PRAGMA query_only = ON")
        except BaseException:
            await cls(connections).close()
            raise
        return cls(connections)

    async def fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        """The rows of one statement, from the connection with the least to do. Raises StoreError."""
        connection = min(self._waiting, key=self._waiting.__getitem__)
        self._waiting[connection] += 1
        try:
            with translated():
                return _as_rows(await connection.execute_fetchall(sql, parameters))
        finally:
            self._waiting[connection] -= 1

    async def fetch_one(self, sql: str, parameters: Parameters) -> Row | None:
        rows = await self.fetch(sql, parameters)
        return rows[0] if rows else None

    async def close(self) -> None:
        for connection in self._waiting:
            await connection.close()
