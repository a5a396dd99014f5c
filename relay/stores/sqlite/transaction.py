"""What a write sees of the transaction that it is part of."""

import functools
import logging
import re
import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from relay.bell import Bell
from relay.stores.sqlite.connection import Parameters, Row

_log = logging.getLogger(__name__)

_ROWS: Final = 32
_LITERALS: Final = {None: "NULL", False: "0", True: "1"}
_COLUMNS: Final = re.compile(r"\(([^)]*)\)")


@functools.lru_cache(maxsize=64)
def _values(sql: str) -> Callable[[Parameters], tuple[Any, ...]]:
    """Takes the values of its columns, which are two at least, out of a row."""
    return itemgetter(*_columns(sql))


def _columns(sql: str) -> list[str]:
    found = _COLUMNS.search(sql)
    assert found is not None  # noqa: S101 -- the statements are our own
    return [name.strip() for name in found[1].split(",")]


def _place(column: Sequence[Any]) -> str:
    """How its values stand in the statement. In many columns no row has a value, or all have the same flag: to hand over those costs ten
    times as much as to write them."""
    first = column[0]
    is_same = (first is None or isinstance(first, bool)) and column.count(first) == len(column)
    return _LITERALS[first] if is_same else "?"


@functools.lru_cache(maxsize=1024)
def _for_rows(sql: str, rows: int, places: Sequence[str]) -> str:
    row = f"({', '.join(places)})"
    return sql.replace(":rows", ", ".join([row] * rows))


class Transaction:
    """One transaction of the writer, open. To be used by what the writer calls, while it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._topics: dict[str, None] = {}
        self._after: list[Callable[[], None]] = []

    def fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        cursor = self._connection.execute(sql, parameters)
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor]

    def fetch_one(self, sql: str, parameters: Parameters) -> Row | None:
        rows = self.fetch(sql, parameters)
        return rows[0] if rows else None

    def run(self, sql: str, parameters: Parameters) -> None:
        self._connection.execute(sql, parameters)

    def run_each(self, sql: str, rows: Sequence[Parameters]) -> None:
        """One statement, once for each of `rows`."""
        if rows:
            self._connection.executemany(sql, rows)

    def run_rows(self, sql: str, rows: Sequence[Parameters]) -> None:
        """One statement for all of `rows`, or for every thirty-two of them. In `sql` their columns stand in the first parentheses, and
        `:rows` where the values go. Of rows that are to update the same one, only one does."""
        values = _values(sql)
        for at in range(0, len(rows), _ROWS):
            columns = tuple(zip(*map(values, rows[at:at + _ROWS]), strict=True))
            places = tuple(map(_place, columns))
            handed = [column for column, place in zip(columns, places, strict=True) if place == "?"]
            self._connection.execute(_for_rows(sql, len(columns[0]), places), tuple(chain.from_iterable(zip(*handed, strict=True))))

    def ring(self, *topics: str) -> None:
        """To be rung once it is committed."""
        self._topics.update(dict.fromkeys(topics))

    def afterwards(self, call: Callable[[], None]) -> None:
        """To be called in the event loop, once it is committed."""
        self._after.append(call)

    def finish(self, bell: Bell) -> None:
        """In the event loop, once it is committed. A fault in a call costs neither the others nor the writer."""
        for call in self._after:
            try:
                call()
            except Exception:  # noqa: BLE001 -- whatever it is, it is recorded: the next start brings up what it loses
                _log.exception("a fault in Relay after a commit")
        for topic in self._topics:
            bell.ring(topic)
