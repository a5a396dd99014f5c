"""The same as growth, on PostgreSQL: 10 thousand and 10 million finished deliveries, the larger number put in by the server itself.

Run it by its name: it takes a quarter of an hour, and ten gigabytes of the system's folder for temporary files.
"""

import sys
import time
from collections.abc import Mapping
from typing import Final

import asyncpg

from tests.bench.figure import Figure
from tests.bench.growth import FIRST_WAIT, PER_EVENT, Compared, Opener, figures, in_turns
from tests.bench.history import own_ids
from tests.bench.many import OPTIONS, copy_of, open_shared_store
from tests.bench.scale import Scale
from tests.postgres import PostgresServer

_STEP: Final = 200_000


async def measure(scale: Scale) -> list[Figure]:
    """Both databases take turns, so that whatever else the machine does falls on both."""
    fewest, most = scale.history[0], scale.history[-1]
    with PostgresServer(options=(*OPTIONS, "synchronous_commit=on", "maintenance_work_mem=512MB")) as server:
        small = server.new_database()
        await in_turns([_opening(small)], 1)
        await _add_finished(small, 0, fewest)
        large = await copy_of(server, small)
        await _add_finished(large, fewest, most)
        await in_turns([_opening(small), _opening(large)], scale.rounds // 4 + 1)  # warm
        compared = Compared(most, *await in_turns([_opening(small), _opening(large)], scale.rounds))
    return figures("growth on PostgreSQL", fewest, [compared])


def _opening(url: str) -> Opener:
    return lambda: open_shared_store(url, first_wait=FIRST_WAIT.total_seconds())


async def _add_finished(url: str, first: int, last: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys: copies are as their models
        await connection.execute("SET synchronous_commit = off")
        for start in range(first, last, _STEP):
            begun, end = time.monotonic(), min(start + _STEP, last)
            for name in ("tasks", "callbacks", "events"):
                await _copy(connection, name, -(-start // PER_EVENT), -(-end // PER_EVENT), {})
            of_event = f"(i / {PER_EVENT})"
            await _copy(connection, "deliveries", start, end, {"event_id": _id("evt", of_event), "task_id": _id("task", of_event)})
            await _copy(connection, "attempts", start, end, {})
            sys.stderr.write(f"{end:,} finished deliveries ({time.monotonic() - begun:.0f} s)\n")
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def _copy(connection: asyncpg.Connection, name: str, first: int, last: int, given: Mapping[str, str]) -> None:
    """The newest row of the table, again and again under ids of their own; `given`: columns that are different, in SQL over `i`."""
    columns = [row["column_name"] for row in await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND column_name <> 'seq'", name)]
    values = {**{column: f"model.{column}" for column in columns}, **own_ids(name, columns, _id), **given}
    await connection.execute(  # the names are ours
        f"""INSERT INTO {name} ({', '.join(columns)}) SELECT {', '.join(values[column] for column in columns)}
        FROM generate_series({first}, {last - 1}) AS i CROSS JOIN (SELECT * FROM {name} ORDER BY seq DESC LIMIT 1) AS model""")  # noqa: S608 -- as above


def _id(prefix: str, number: str) -> str:
    """Older than every real one."""
    return f"'{prefix}_' || lpad(CAST({number} AS text), 26, '0')"
