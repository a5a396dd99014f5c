"""Taking in everything that stood in a store of another kind: in one transaction, so that it is all there or nothing is.

What processes held is held by nobody here: they are gone, as after a crash. Lanes are not copied: the trigger on deliveries makes them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import asyncpg

from relay.errors import ConfigError, FieldProblem, StoreError
from relay.stores.postgres.fault import translated
from relay.stores.postgres.statement import escaped
from relay.stores.postgres.target import read_target
from relay.stores.table import Source, Table, Tell

_MADE_HERE: Final = ("lanes",)
_OF_PROCESSES: Final = ("leased",)
_CONNECT_SECONDS: Final = 5.0
_Convert = Callable[[Any], Any]


async def take_in(url: str, source: Source, tell: Tell) -> dict[str, int]:
    """How many rows each table has now, which is as many as it had. The database has the tables of this version, and nothing in them,
    or ConfigError is raised; StoreError, if it fails on the way."""
    target = read_target(url)
    with translated():
        connection = await asyncpg.connect(target.dsn, timeout=_CONNECT_SECONDS, statement_cache_size=target.statements)
        try:
            async with connection.transaction():
                await _refuse_if_used(connection, source.tables)
                counts = {table.name: await _copy(connection, source, table, tell) for table in source.tables if _is_copied(table)}
            await connection.execute("ANALYZE")
        finally:
            await connection.close()
    return counts


def _is_copied(table: Table) -> bool:
    return table.name not in _MADE_HERE


async def _refuse_if_used(connection: asyncpg.Connection, tables: Iterable[Table]) -> None:
    """Nobody else begins to use it from here on: a process that starts waits for this table."""
    await connection.execute("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE")
    used = [table.name for table in tables if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table.name})")]  # noqa: S608 -- the names are those of our schema
    if used:
        raise ConfigError([FieldProblem("--to", f"the database is not empty, there is something in {', '.join(used)}: give a new "
                                        "one, which no `relay serve` has been started on")])


async def _copy(connection: asyncpg.Connection, source: Source, table: Table, tell: Tell) -> int:
    columns = [name for name in table.columns if name not in _OF_PROCESSES]
    convert = await _converters(connection, table.name, columns)
    places = [table.columns.index(name) for name in columns]
    for batch in source.rows(table):
        rows = [tuple(make(row[place]) for make, place in zip(convert, places, strict=True)) for row in batch]
        await connection.copy_records_to_table(table.name, records=rows, columns=columns)
        tell(table, len(rows))
    if "seq" in columns:
        await connection.execute(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'seq'), max(seq)) FROM {table.name}")  # noqa: S608 -- as above
    return await _counted(connection, table)


async def _counted(connection: asyncpg.Connection, table: Table) -> int:
    count: int = await connection.fetchval(f"SELECT count(*) FROM {table.name}")  # noqa: S608 -- as above
    if count != table.count:
        raise StoreError(f"{table.name} has {count} rows instead of {table.count}: nothing was taken in")
    return count


async def _converters(connection: asyncpg.Connection, table: str, columns: Sequence[str]) -> list[_Convert]:
    """For each column what makes of SQLite's value the one to write."""
    types = dict(await connection.fetch(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1", table))
    if missing := [name for name in columns if name not in types]:
        raise ConfigError([FieldProblem("--from", f"{table} has columns that are not known here: {', '.join(missing)}")])
    return [_converter(types[name]) for name in columns]


def _converter(kind: str) -> _Convert:
    match kind:
        case "boolean":
            return lambda value: None if value is None else bool(value)
        case "text":
            return lambda value: None if value is None else escaped(value)
        case _:
            return lambda value: value
