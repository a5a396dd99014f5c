"""What a write sees of the transaction that it is part of."""

import sqlite3
from collections.abc import Callable, Sequence

from relay.bell import Bell
from relay.stores.sqlite.connection import Parameters, Row


class Transaction:
    """One transaction of the writer, open. To be used in the writer's thread only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._topics: dict[str, None] = {}
        self._after: list[Callable[[], None]] = []

    def fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        cursor = self._connection.execute(sql, parameters)
        rows = cursor.fetchall()
        if not rows:
            return []
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def fetch_one(self, sql: str, parameters: Parameters) -> Row | None:
        rows = self.fetch(sql, parameters)
        return rows[0] if rows else None

    def run(self, sql: str, parameters: Parameters) -> None:
        self._connection.execute(sql, parameters)

    def run_each(self, sql: str, rows: Sequence[Parameters]) -> None:
        """One statement, once for each of `rows`."""
        if rows:
            self._connection.executemany(sql, rows)

    def ring(self, *topics: str) -> None:
        """To be rung once it is committed."""
        self._topics.update(dict.fromkeys(topics))

    def afterwards(self, call: Callable[[], None]) -> None:
        """To be called in the event loop, once it is committed."""
        self._after.append(call)

    def finish(self, bell: Bell) -> None:
        """In the event loop, once it is committed."""
        for call in self._after:
            call()
        for topic in self._topics:
            bell.ring(topic)
