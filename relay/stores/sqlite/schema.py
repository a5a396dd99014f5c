"""Bringing a database file up to the tables that this version knows."""

import contextlib
import sqlite3
from pathlib import Path

from relay.errors import ConfigError, FieldProblem, StoreError
from relay.stores.migrations import Migration, migrations
from relay.stores.sqlite.lock import OwnerLock

_OLDEST_SQLITE = (3, 37)  # STRICT tables


def migrate(path: Path) -> list[str]:
    """Apply what is missing and give the names of the steps applied. Raises ConfigError (in use, made by a newer version,
    an SQLite that is too old), StoreError (the file cannot be read or written)."""
    lock = OwnerLock(path)
    try:
        return migrate_owned(path)
    finally:
        lock.release()


def migrate_owned(path: Path) -> list[str]:
    """The same for whoever holds the lock."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise _problem(f"SQLite 3.37 or newer is needed; this Python has {sqlite3.sqlite_version}")
    try:
        path.touch(mode=0o600)  # prompts are nobody else's business; SQLite gives its side files the same mode
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as connection:
            return _apply_missing(connection, path)
    except (sqlite3.Error, OSError) as exc:
        raise StoreError(f"{path} cannot be opened as a database: {exc}") from exc


def _apply_missing(connection: sqlite3.Connection, path: Path) -> list[str]:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER CONSTRAINT migrations_key PRIMARY KEY, name TEXT NOT NULL) STRICT")
    known = migrations("sqlite")
    applied = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()[0]
    if applied > known[-1].number:
        raise _problem(f"{path} was made by a newer version of relay (step {applied}; this one knows {known[-1].number}): "
                       "use that version")
    missing = [migration for migration in known if migration.number > applied]
    for migration in missing:
        _apply(connection, migration)
    return [migration.name for migration in missing]


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    try:
        connection.executescript(migration.sql)
    finally:
        if connection.in_transaction:  # it failed on the way
            connection.rollback()


def _problem(message: str) -> ConfigError:
    return ConfigError([FieldProblem("RELAY_DATABASE_URL", message)])
