"""What a write sees of the transaction that it is part of."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from relay.bell import Bell
from relay.stores.postgres.connection import Connection
from relay.stores.postgres.statement import arguments, columns, numbered, readable
from relay.stores.row import Parameters, Row

_log = logging.getLogger(__name__)

_SECONDS: Final = 5.0


class Transaction:
    """One transaction, open. To be used by what the writer calls, while it does. What it calls may be called again from the start with
    another one, so nothing else may be changed on the way. `seconds`: how long each statement may take."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._topics: dict[str, None] = {}
        self._after: list[Callable[[], None]] = []
        self.seconds = _SECONDS
        self.doubts: list[Callable[[Transaction], Awaitable[Any]]] = []

    async def fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        text, names = numbered(sql)
        return readable(await self._connection.fetch(text, *arguments(names, parameters), timeout=self.seconds))

    async def fetch_one(self, sql: str, parameters: Parameters) -> Row | None:
        rows = await self.fetch(sql, parameters)
        return rows[0] if rows else None

    async def run(self, sql: str, parameters: Parameters) -> None:
        text, names = numbered(sql)
        await self._connection.execute(text, *arguments(names, parameters), timeout=self.seconds)

    async def run_rows(self, sql: str, rows: Sequence[Parameters]) -> None:
        """One statement for all of `rows`: each parameter is the array of that column. Nothing is run for none."""
        if rows:
            text, names = numbered(sql)
            await self._connection.execute(text, *columns(names, rows), timeout=self.seconds)

    def ring(self, *topics: str) -> None:
        """To be rung once it is committed."""
        self._topics.update(dict.fromkeys(topics))

    def afterwards(self, call: Callable[[], None]) -> None:
        """To be called in the event loop, once it is committed."""
        self._after.append(call)

    def in_doubt(self, single: "Callable[[Transaction], Awaitable[Any]]") -> None:
        """To be run in a transaction of its own if nobody can tell whether this one was committed."""
        self.doubts.append(single)

    def finish(self, bell: Bell, tell: Callable[[Sequence[str]], None]) -> None:
        """In the event loop, once it is committed; `tell` is for the other processes. A fault in a call costs neither the others nor the
        writer."""
        for call in self._after:
            try:
                call()
            except Exception:  # noqa: BLE001 -- whatever it is, it is recorded: whoever takes over brings up what it loses
                _log.exception("a fault in Relay after a commit")
        for topic in self._topics:
            bell.ring(topic)
        if self._topics:
            tell(list(self._topics))
