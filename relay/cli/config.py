"""`relay config`."""

import os

import click

from relay.cli.first_start import ADMIN_KEY_FILE, SECRET_KEYS_FILE
from relay.cli.screen import json_option, show_json, show_table
from relay.settings import DEFAULT, MASK, Shown, load_settings, show_settings

_MADE = {"RELAY_SECRET_KEYS": SECRET_KEYS_FILE, "RELAY_ADMIN_KEY": ADMIN_KEY_FILE}


@click.command("config")
@json_option
def command(*, as_json: bool) -> None:
    """Show the settings in force and where they come from.

    Secrets are masked. Wrong settings are all listed, exit code 2.
    """
    folder = load_settings(os.environ).data_dir
    rows = []
    for shown in show_settings(os.environ):
        made = folder / _MADE[shown.name] if shown.name in _MADE else None
        rows.append(Shown(shown.name, MASK, str(made)) if made and shown.source == DEFAULT and made.exists() else shown)
    if as_json:
        show_json([row._asdict() for row in rows])
    else:
        show_table(["setting", "value", "source"], rows)
