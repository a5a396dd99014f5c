"""What a write sees of the transaction that it is part of."""

from collections.abc import Sequence

import aiosqlite

from relay.stores.sqlite.connection import Parameters, Row, as_rows


class Transaction:
    """One transaction of the writer, open. Each method is one trip to the connection's thread; trips started together are made
    in the order in which they were started."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._topics: dict[str, None] = {}

    async def fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        return as_rows(await self._connection.execute_fetchall(sql, parameters))

    async def fetch_one(self, sql: str, parameters: Parameters) -> Row | None:
        rows = await self.fetch(sql, parameters)
        return rows[0] if rows else None

    async def run(self, sql: str, parameters: Parameters) -> None:
        await self._connection.execute_fetchall(sql, parameters)

    async def run_each(self, sql: str, rows: Sequence[Parameters]) -> None:
        """One statement, once for each of `rows`."""
        if rows:
            await self._connection.executemany(sql, rows)

    def ring(self, *topics: str) -> None:
        """To be rung once it is committed."""
        self._topics.update(dict.fromkeys(topics))

    @property
    def topics(self) -> list[str]:
        return list(self._topics)
