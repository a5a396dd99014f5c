"""The store that a database's address stands for. PostgreSQL's is loaded when one asks for it: most installations never do, and have
not installed what it needs."""

from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from relay.bell import Bell
from relay.errors import ConfigError, FieldProblem
from relay.ports import Alone, Fleet, Role, Store
from relay.stores import sqlite
from relay.view import Link

Database = Path | str
"""An SQLite file, or the URL of a PostgreSQL database."""


async def open_store(database: Database, *, bell: Bell, link: Link, new_id: Callable[[str], str], first_wait: float,
                     role: Role, clock: Callable[[], datetime]) -> tuple[Store, Fleet]:
    """The store, open and up to date, and the processes that share it. `clock`: this machine's, which may be wrong where the
    database has one. For the rest see relay.stores.sqlite.open_store. Raises ConfigError and StoreError."""
    if isinstance(database, Path):
        _refuse_part(role)
        return await sqlite.open_store(database, bell=bell, link=link, new_id=new_id, first_wait=first_wait), Alone(clock)
    require_postgres()
    from relay.stores import postgres  # noqa: PLC0415 -- see the module's docstring

    store = await postgres.open_store(database, bell=bell, link=link, new_id=new_id, first_wait=first_wait, role=role, clock=clock)
    return store, store


def migrate(database: Database) -> list[str]:
    """Apply what is missing and give the names of the steps applied. Raises ConfigError and StoreError."""
    if isinstance(database, Path):
        return sqlite.migrate(database)
    require_postgres()
    from relay.stores import postgres  # noqa: PLC0415 -- as above

    return postgres.migrate(database)


def require_postgres() -> None:
    """Raises ConfigError unless what PostgreSQL's store needs is installed."""
    if find_spec("asyncpg") is None:
        raise ConfigError([FieldProblem("RELAY_DATABASE_URL", "PostgreSQL needs the package asyncpg, which comes with the extra: "
                                        "install flux-relay[postgres]")])


def _refuse_part(role: Role) -> None:
    if role is not Role.ALL:
        raise ConfigError([FieldProblem("--role", f"{role} is for PostgreSQL: on SQLite one process does everything")])
