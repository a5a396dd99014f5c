"""What a failure of the database means: whose fault it is, and whether to try again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from relay.errors import StoreError

_GONE: Final = (
    OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError, asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError,
)
_OF_THE_SERVER: Final = (
    StoreError, *_GONE, asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError, asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError, asyncpg.LockNotAvailableError,
)
_AT_ODDS: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.InvalidCachedStatementError)


class Again(Exception):
    """What was read is not so any more: the transaction is to be made again."""


def is_gone(exc: BaseException) -> bool:
    """The connection cannot be used any more, nor can others that are as old."""
    return isinstance(exc, _GONE) and not isinstance(exc, asyncpg.DataError)


def is_fault_of_server(exc: BaseException) -> bool:
    """Not of what was to be written: nothing else could have been written either."""
    return isinstance(exc, _OF_THE_SERVER) and not isinstance(exc, asyncpg.DataError)


def is_at_odds(exc: BaseException) -> bool:
    """Two transactions got in each other's way, or a table was added to since the statement was prepared."""
    return isinstance(exc, (*_AT_ODDS, Again))


@contextmanager
def translated() -> Iterator[None]:
    """The driver's errors as StoreError."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as exc:
        raise StoreError(f"the database cannot be asked: {in_words(exc)}") from exc


def in_words(exc: BaseException) -> str:
    """Some errors have none of their own. The server's may name the row that it did not take, which is nobody's business."""
    said = exc.args[0] if isinstance(exc, asyncpg.PostgresError) and exc.args else exc
    return str(said) or type(exc).__name__
