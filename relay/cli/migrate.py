"""`relay migrate`."""

import os

import click

from relay.cli.first_start import prepare_data_dir
from relay.settings import load_settings
from relay.stores.opening import migrate


@click.command("migrate")
def command() -> None:
    """Bring the database's schema up to date.

    `relay serve` does so by itself; this is for those who want it as a step of its own. On SQLite the service must not be running; on
    PostgreSQL it may, and an older version of it goes on beside the new schema.
    """
    settings = prepare_data_dir(load_settings(os.environ)).settings
    applied = migrate(settings.database_url or settings.database_path)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to do: the schema is up to date")
