"""Connections to the server: a few, used over and over, none of them for more than one transaction at a time.

Nothing is kept in a session, so that a PgBouncer may give each transaction another one. No wait is without end: who finds no
connection, or no server, within seconds gets StoreError. While the server is not there one attempt after another is made, ever more
slowly, and everybody else is told at once; one line in the log says that it is gone, and one that it is back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import asyncpg

from relay.errors import StoreError
from relay.stores.postgres.fault import in_words, is_gone, translated
from relay.stores.postgres.statement import arguments, numbered, readable
from relay.stores.postgres.target import Target
from relay.stores.row import Parameters, Row

_log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 3.0
_TURN_SECONDS: Final = 5.0
_STATEMENT_SECONDS: Final = 5.0
_READING_SECONDS: Final = 10.0  # a list of a large account, filtered by what has no index
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
_LONGEST_IDLE: Final = 60.0  # what stands in between may forget a connection that nobody uses, and tells nobody
_FOR_WRITES: Final = 4  # however many read, so many connections are left to those that write


class Connection(Protocol):
    """What is used of the driver's."""

    async def fetch(self, sql: str, *arguments: Any, timeout: float | None = None) -> list[Any]: ...  # noqa: ANN401 -- what a column takes

    async def execute(self, sql: str, *arguments: Any, timeout: float | None = None) -> str: ...  # noqa: ANN401 -- as above

    async def close(self, *, timeout: float | None = None) -> None: ...

    def terminate(self) -> None: ...

    def is_closed(self) -> bool: ...

    def is_in_transaction(self) -> bool: ...


async def connect(target: Target) -> Connection:
    """Raises what the driver raises."""
    connection: Connection = await asyncpg.connect(
        target.dsn, timeout=_CONNECT_SECONDS, command_timeout=_STATEMENT_SECONDS, statement_cache_size=target.statements,
        max_cached_statement_lifetime=0, server_settings={"application_name": "relay"})
    return connection


@asynccontextmanager
async def _turn(places: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            await places.acquire()
    except TimeoutError as exc:
        raise StoreError("no connection to the database became free in time") from exc
    try:
        yield
    finally:
        places.release()


class Pool:
    """Connections for whoever needs one for a moment."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._idle: list[tuple[Connection, float]] = []
        self._places = asyncio.Semaphore(target.connections)
        self._is_closed = False
        self._is_lost = False
        self._pause = 0.0
        self._next_attempt = 0.0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One for this caller alone. If it is left by an error inside a transaction, or by cancellation, it is not used again."""
        if self._is_closed:
            raise StoreError("the store is closed")
        async with _turn(self._places):
            connection = self._known() or await self._new()
            try:
                yield connection
            except BaseException as exc:
                self._after_failure(connection, exc)
                raise
            self._keep(connection)

    async def close(self) -> None:
        self._is_closed = True
        while self._idle:
            connection, _ = self._idle.pop()
            try:
                await connection.close(timeout=1)
            except Exception:  # noqa: BLE001 -- it is given up either way
                connection.terminate()

    def _known(self) -> Connection | None:
        """The one that was used last."""
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_closed():
                continue
            if asyncio.get_running_loop().time() - since < _LONGEST_IDLE:
                return connection
            connection.terminate()
        return None

    async def _new(self) -> Connection:
        loop = asyncio.get_running_loop()
        if loop.time() < self._next_attempt:
            raise StoreError("the database cannot be reached")
        try:
            connection = await connect(self.target)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as exc:
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._next_attempt = loop.time() + self._pause
            self._note_loss(exc)
            raise StoreError(f"the database cannot be reached: {in_words(exc)}") from exc
        self._note_return()
        return connection

    def _after_failure(self, connection: Connection, exc: BaseException) -> None:
        if is_gone(exc):
            self._drop_idle()
            if not isinstance(exc, TimeoutError):  # something may just have taken too long
                self._note_loss(exc)
        if is_gone(exc) or not isinstance(exc, Exception):
            connection.terminate()
        self._keep(connection)

    def _drop_idle(self) -> None:
        for connection, _ in self._idle:
            connection.terminate()
        self._idle.clear()

    def _keep(self, connection: Connection) -> None:
        if self._is_closed or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
        else:
            self._idle.append((connection, asyncio.get_running_loop().time()))

    def _note_loss(self, exc: BaseException) -> None:
        if not self._is_lost:
            self._is_lost = True
            _log.warning("the database is not there: %s", in_words(exc))

    def _note_return(self) -> None:
        self._pause = self._next_attempt = 0.0
        if self._is_lost:
            self._is_lost = False
            _log.warning("the database is back")


class Readers:
    """Single statements that only read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._places = asyncio.Semaphore(max(1, pool.target.connections - _FOR_WRITES))

    async def fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        """The rows of one statement. What was lost with its connection is asked once more. Raises StoreError."""
        with translated():
            try:
                return await self._fetch(sql, parameters)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
                if isinstance(exc, TimeoutError) or not (is_gone(exc) or isinstance(exc, asyncpg.InvalidCachedStatementError)):
                    raise
                return await self._fetch(sql, parameters)

    async def fetch_one(self, sql: str, parameters: Parameters) -> Row | None:
        rows = await self.fetch(sql, parameters)
        return rows[0] if rows else None

    async def _fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        text, names = numbered(sql)
        async with _turn(self._places), self._pool.connection() as connection:
            if self._pool.target.statements:
                return readable(await connection.fetch(text, *arguments(names, parameters), timeout=_READING_SECONDS))
            await connection.execute("BEGIN")  # preparing and running it has to meet the same session
            rows = readable(await connection.fetch(text, *arguments(names, parameters), timeout=_READING_SECONDS))
            await connection.execute("COMMIT")
            return rows
