"""`relay import`."""
# ruff: noqa: N999 -- a command's module has its name

import os
from pathlib import Path
from typing import Final

import click

from relay.errors import ConfigError, FieldProblem
from relay.settings import Settings, load_settings
from relay.settings.values import read_database
from relay.signing import derive_key
from relay.stores.moving_in import move_in
from relay.stores.table import Table
from relay.vault import SecretLost, Vault

_STEP: Final = 100_000
_NOT_THE_KEYS: Final = "must be the keys that the database was used with: those given there, or in the file secret-keys beside it"


@click.command("import")
@click.option("--from", "source", required=True, metavar="URL", help="The SQLite database to take from, such as sqlite:///relay-data/relay.db.")
@click.option("--to", "target", metavar="URL", help="The PostgreSQL database to fill, instead of RELAY_DATABASE_URL.")
def command(source: str, target: str | None) -> None:
    """Move an installation from SQLite to PostgreSQL.

    Everything or nothing is taken, in one transaction: the PostgreSQL database must be empty, and the service must run on neither. The
    SQLite file stays as it is. RELAY_SECRET_KEYS must be those that it was used with: they open what is stored.
    """
    path = _source(source)
    settings = load_settings({**os.environ, **({"RELAY_DATABASE_URL": target} if target else {})})
    if settings.database_url is None:
        raise ConfigError([FieldProblem("--to", "must be the postgresql:// URL of the database to fill, if RELAY_DATABASE_URL is not")])
    try:
        counts = move_in(path, settings.database_url, opens=_vault(settings).open, tell=Progress().tell)
    except SecretLost as exc:
        raise ConfigError([FieldProblem("RELAY_SECRET_KEYS", _NOT_THE_KEYS)]) from exc
    for name, count in counts.items():
        click.echo(f"{count:>12,} {name}")
    click.echo(f"{sum(counts.values()):>12,} rows, as many as there were: all is in PostgreSQL")
    click.echo(f"left to do: copy the folder {path.parent / 'images'}, if it is there, to {settings.data_dir / 'images'}, where every "
               "process must find it; then start `relay serve`, with the same RELAY_SECRET_KEYS")


class Progress:
    """A line for each table that takes long, on stderr, so that it is seen that it goes on."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}

    def tell(self, table: Table, rows: int) -> None:
        before = self._done.get(table.name, 0)
        self._done[table.name] = now = before + rows
        if before // _STEP < now // _STEP:
            click.echo(f"{table.name}: {now:,} of {table.count:,}", err=True)


def _source(url: str) -> Path:
    try:
        path = read_database(url)
    except ValueError:
        path = None
    if not isinstance(path, Path):
        raise ConfigError([FieldProblem("--from", "must be sqlite:///relative/path or sqlite:////absolute/path")])
    return path


def _vault(settings: Settings) -> Vault:
    return Vault([derive_key(key, "vault") for key in settings.secret_keys])
