"""An installation that moves from SQLite to PostgreSQL."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from relay.stores import opening, sqlite
from relay.stores.table import Tell


def move_in(path: Path, url: str, *, opens: Callable[[str], object], tell: Tell) -> dict[str, int]:
    """How many rows each table had and has. `opens` is asked about a stored secret before anything is taken, and raises if it cannot be
    read; `tell` hears of each batch: its table and how many rows. Raises ConfigError (the file is in use or of another version, the
    database is not empty) and StoreError; then nothing was taken."""
    with sqlite.open_export(path) as source:
        if (sealed := source.sealed_secret()) is not None:
            opens(sealed)
        opening.migrate(url)
        from relay.stores.postgres.arrival import take_in  # noqa: PLC0415 -- see opening

        return asyncio.run(take_in(url, source, tell))
