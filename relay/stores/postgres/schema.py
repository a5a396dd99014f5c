"""Bringing a database up to the tables that this version knows.

One step is one transaction, under a lock that ends with it, so that of many processes that start at once one does it and the others wait.
A database of a newer version is taken as it is: a step only adds, so that old processes work on while new ones come up. A step may take
long, but never waits long for a table: whoever works with that would wait behind it. Then, and where it and they would wait for each
other, it is put off for a moment and tried again, a few times.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from relay.errors import StoreError
from relay.stores.migrations import migrations
from relay.stores.postgres.connection import Connection, connect
from relay.stores.postgres.fault import in_words, translated
from relay.stores.postgres.lock import key_of
from relay.stores.postgres.target import Target, problem, read_target

_log = logging.getLogger(__name__)

_OLDEST_SERVER: Final = 14
_STEP_SECONDS: Final = 300.0
_TABLE_MILLISECONDS: Final = 3000  # shorter than any statement of those that work may take
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
_IN_USE: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_WRONG: Final = (
    asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedObjectError, asyncpg.ClientConfigurationError,
)


def migrate(url: str) -> list[str]:
    """Apply what is missing and give the names of the steps applied. Raises ConfigError (what the URL says is wrong, a server that is
    too old), StoreError (the server cannot be reached)."""
    return asyncio.run(migrate_target(read_target(url)))


async def migrate_target(target: Target) -> list[str]:
    """The same inside an event loop."""
    applied: list[str] = []
    while (name := await _take_step(target)) is not None:
        applied.append(name)
    return applied


async def _take_step(target: Target) -> str | None:
    """Its name; None: there is nothing left to do."""
    for pause in _PAUSES:
        try:
            return await _try_step(target)
        except StoreError as exc:
            if not isinstance(exc.__cause__, _IN_USE):
                raise
            _log.warning("a table is in use, the step is tried again in %g s: %s", pause, exc.message)
        await asyncio.sleep(pause)
    return await _try_step(target)


async def _try_step(target: Target) -> str | None:
    async with _connected(target) as connection:
        await _refuse_old_server(connection)
        return await _apply_next(connection)


@asynccontextmanager
async def _connected(target: Target) -> AsyncIterator[Connection]:
    with translated():
        try:
            connection = await connect(target)
        except _WRONG as exc:
            raise problem(f"the database refuses it: {in_words(exc)}") from exc
        try:
            yield connection
        finally:
            await connection.close(timeout=1)


async def _refuse_old_server(connection: Connection) -> None:
    [row] = await connection.fetch("SELECT current_setting('server_version_num') AS version")
    major = int(row["version"]) // 10_000
    if major < _OLDEST_SERVER:
        raise problem(f"PostgreSQL {_OLDEST_SERVER} or newer is needed; the server is {major}")


async def _apply_next(connection: Connection) -> str | None:
    await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")  # to see what was done while it waited
    try:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", key_of("migrations"), timeout=_STEP_SECONDS)
        await connection.execute(f"SET LOCAL lock_timeout = {_TABLE_MILLISECONDS}")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number bigint CONSTRAINT migrations_key PRIMARY KEY, name text NOT NULL)")
        [row] = await connection.fetch("SELECT coalesce(max(number), 0) AS number FROM migrations")
        known = migrations("postgres")
        if row["number"] > known[-1].number:
            _log.warning("the database is of a newer version of relay (step %s; this one knows %s)", row["number"], known[-1].number)
        following = next((migration for migration in known if migration.number > row["number"]), None)
        step = following.sql if following else "COMMIT"  # its own BEGIN changes nothing, its own COMMIT ends this
        await connection.execute(step, timeout=_STEP_SECONDS)
    except BaseException:
        connection.terminate()
        raise
    return following.name if following else None
