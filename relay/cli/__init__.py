"""The `relay` command, one module per noun; the only place that prints or exits.

A command's module is imported when the command is used, so `relay --help` reads none of them: that is why the list below
repeats the first line of each command's help, and a test holds the two together.

Exit codes: 0 done; 1 it did not work, with one line on stderr; 2 wrong usage or settings, everything wrong listed.
"""

import sys
from importlib import import_module
from typing import Final, NoReturn

import click

from relay import __version__
from relay.errors import ConfigError, RelayError

COMMANDS: Final = {
    "serve": "Run the service: API, callbacks and workers.",
    "sandbox": "Run stand-ins for the five providers.",
    "demo": "Send one task to each provider and watch the results come back.",
    "submit": "Submit an image task.",
    "tasks": "List and manage tasks.",
    "events": "List events, and deliver one again.",
    "deliveries": "List deliveries, their attempts, and retry them.",
    "replay": "Send events to a subscription once more.",
    "replays": "List, watch and cancel replays.",
    "subscriptions": "List and manage subscriptions.",
    "keys": "List, add and revoke API keys.",
    "listen": "Stream events to a local URL, or just show them.",
    "trigger": "Send a sample event to the subscriptions.",
    "migrate": "Bring the database's schema up to date.",
    "import": "Move an installation from SQLite to PostgreSQL.",
    "config": "Show the settings in force and where they come from.",
    "healthcheck": "Tell by the exit code whether the service is ready.",
}


class Commands(click.Group):
    """The commands by name, each imported when it is asked for: `relay.cli.NAME` holds `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"relay.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"relay.cli.{cmd_name}.command is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, message="relay %(version)s")
def cli() -> None:
    """One webhook for every Flux image API.

    `relay demo` shows it all with nothing set up; `relay serve` runs the service. The other commands talk to a running service:
    RELAY_URL says where it is (http://127.0.0.1:8080), RELAY_API_KEY who asks (else the key file in the local data folder).
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        cli(prog_name="relay")
    except ConfigError as exc:
        click.echo("relay: the settings are wrong:", err=True)
        for problem in exc.problems:
            click.echo(f"  {problem.field}: {problem.message}", err=True)
        sys.exit(2)
    except RelayError as exc:
        click.echo(f"relay: {exc.message}", err=True)
        sys.exit(1)
    sys.exit(0)
