"""Everything that stands in a database file, for a store of another kind to take in.

The file is the owner's alone meanwhile, and is left as it is: who thinks better of it starts on it again.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from relay.errors import ConfigError, FieldProblem, StoreError
from relay.stores.migrations import migrations
from relay.stores.sqlite.lock import OwnerLock
from relay.stores.table import Table

_OWN: Final = ("migrations", "probe")
"""Tables that say something about the database itself."""

_BATCH: Final = 2000


class Export:
    """The tables of one file, as they stood when it was opened."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.tables = [self._table(name) for name in self._names()]

    def rows(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """All rows of it, a batch at a time, in the order of recording where there is one."""
        order = " ORDER BY seq" if "seq" in table.columns else ""
        cursor = self._connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}{order}")  # noqa: S608 -- the names are those of our schema
        while batch := cursor.fetchmany(_BATCH):
            yield batch

    def sealed_secret(self) -> str | None:
        """One that stands in it, if there is any."""
        newest = "SELECT sealed_secret FROM subscriptions WHERE deleted_at IS NULL ORDER BY seq DESC LIMIT 1"
        found = self._connection.execute(newest).fetchone()
        return None if found is None else str(found[0])

    def _names(self) -> list[str]:
        """Each behind those that it refers to: in the order in which the migrations made them."""
        found = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        return [name for (name,) in found if name not in _OWN]

    def _table(self, name: str) -> Table:
        columns = tuple(row[1] for row in self._connection.execute(f"PRAGMA table_info({name})"))
        count = self._connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 -- as above
        return Table(name=name, columns=columns, count=count)


@contextlib.contextmanager
def open_export(path: Path) -> Iterator[Export]:
    """Raises ConfigError (not there, in use, of another version), StoreError (not a database)."""
    if not path.is_file():
        raise _problem(f"{path} is not there")
    lock = OwnerLock(path)
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            _check_version(connection, path)
            yield Export(connection)
    except sqlite3.Error as exc:
        raise StoreError(f"{path} cannot be read as a database: {exc}") from exc
    finally:
        lock.release()


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    made_by, known = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()[0], migrations("sqlite")[-1].number
    if made_by != known:
        do = "use that version" if made_by > known else "run `relay migrate` on it first"
        raise _problem(f"{path} was made by another version of relay (step {made_by}; this one knows {known}): {do}")


def _problem(message: str) -> ConfigError:
    return ConfigError([FieldProblem("--from", message)])
