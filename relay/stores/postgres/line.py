"""A connection for one purpose alone, made anew when it was lost, so that a heartbeat never waits for a place in the pool."""

import asyncio
from typing import Final

from relay.stores.postgres.connection import Connection, connect
from relay.stores.postgres.fault import translated
from relay.stores.postgres.statement import arguments, numbered, readable
from relay.stores.postgres.target import Target
from relay.stores.row import Parameters, Row

_SECONDS: Final = 3.0


class Line:
    """For one caller at a time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: Connection | None = None

    async def fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        """The rows of one statement, which is committed with it. Raises StoreError within seconds."""
        text, names = numbered(sql)
        with translated():
            try:
                async with asyncio.timeout(_SECONDS):
                    connection = self._connection = self._connection or await connect(self._target)
                    await connection.execute("BEGIN")  # behind a pooler, preparing and running it has to meet the same session
                    rows = readable(await connection.fetch(text, *arguments(names, parameters)))
                    await connection.execute("COMMIT")
                    return rows
            except BaseException:
                self.cut()
                raise

    def cut(self) -> None:
        """The next call begins with a new one."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
