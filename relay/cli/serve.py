"""`relay serve`."""

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Final

import click
import msgspec
import uvloop

from relay.app import open_app
from relay.cli.address import is_loopback
from relay.cli.first_start import Prepared, prepare_data_dir
from relay.cli.server import Server, bind, port_of, say_address, stopped_by_signals
from relay.errors import ConfigError, FieldProblem
from relay.observe.log import set_up_logging
from relay.ports import Role
from relay.providers.sandbox import Sandbox
from relay.settings import DEFAULT, PROVIDER_NAMES, Settings, find_settings, listen_url, load_settings

LOOPBACK: Final = "127.0.0.0/8,::1/128"
SANDBOX_KEY: Final = "sandbox"

_log = logging.getLogger(__name__)


@click.command("serve")
@click.option("--host", help="The address to listen on, instead of RELAY_HOST.")
@click.option("--port", help="The port to listen on, instead of RELAY_PORT; 0 takes a free one.")
@click.option("--role", type=click.Choice(Role, case_sensitive=False), default=Role.ALL, show_default="all",
              help="With PostgreSQL: take requests and callbacks (api), do the work (worker), or both.")
@click.option("--sandbox", is_flag=True, help="Build in stand-ins for the five providers; on loopback only, no account needed.")
def command(host: str | None, port: str | None, role: Role, *, sandbox: bool) -> None:
    """Run the service: API, callbacks and workers.

    The first start makes the data folder, the keys and the database. Ctrl-C and SIGTERM stop it: what is under way is awaited. On one
    PostgreSQL database any number of these may run.
    """
    environ = {**os.environ, **_given(host, port)}
    settings = load_settings(environ)
    log_to_stderr(settings)
    if sandbox and not is_loopback(settings.host):
        raise ConfigError([FieldProblem("RELAY_HOST", f"--sandbox accepts any key, so it is for loopback only, not {settings.host!r}")])
    with bind(settings.host, settings.port) as listener:
        url = listen_url(settings.host, port_of(listener))
        if sandbox:
            settings = load_settings(environ, defaults=sandbox_defaults(environ, url))
        prepared = prepare_data_dir(msgspec.structs.replace(settings, port=port_of(listener)))
        _tell_of_key(prepared)
        sys.exit(run(prepared.settings, listener, url, role=role, sandbox=sandbox))


def log_to_stderr(settings: Settings) -> None:
    """Send the log to stderr in the style that was asked for."""
    set_up_logging(style=settings.log or ("text" if sys.stderr.isatty() else "json"), level=settings.log_level)


def sandbox_defaults(environ: dict[str, str], url: str) -> dict[str, str]:
    """What is different beside stand-ins at `url`, unless it is given: callbacks really happen, subscribers may live on this machine,
    and each provider is the stand-in of its name. A provider whose base URL was given gets no made-up key."""
    found, _ = find_settings(environ)
    defaults = {"RELAY_PUBLIC_URL": url, "RELAY_ALLOW_CIDRS": LOOPBACK}
    for name in PROVIDER_NAMES:
        prefix = f"RELAY_{name.upper()}"
        defaults[f"{prefix}_BASE_URL"] = f"{url}/{name}"
        if found[f"{prefix}_BASE_URL"].source == DEFAULT:
            defaults[f"{prefix}_API_KEY"] = SANDBOX_KEY
    return defaults


def run(settings: Settings, listener: socket.socket, url: str, *, role: Role = Role.ALL, sandbox: bool) -> int:
    """Serve until a signal comes; the exit code. Raises RelayError where the start fails."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listener, url, role, _stand_ins(settings, url) if sandbox else None))
    except asyncio.CancelledError:
        return 0  # a signal during the start
    except ExceptionGroup:
        _log.critical("a part of the service failed, so all of it stops", exc_info=True)
        return 1
    return 0


async def _serve(settings: Settings, listener: socket.socket, url: str, role: Role, sandbox: Sandbox | None) -> None:
    starting = asyncio.current_task()
    assert starting is not None  # noqa: S101 -- a coroutine always runs in a task
    stops: list[Callable[[], object]] = [starting.cancel]  # the last one counts

    def stop() -> None:
        stops[-1]()

    with stopped_by_signals(stop):
        async with open_app(settings, role=role, sandbox=sandbox) as site:
            gc.freeze()  # what is here now stays: the collector need not look at it again and again
            server = Server(site, grace=settings.shutdown_grace, on_start=lambda: say_address("Relay", url), on_stop=site.state.stop)
            stops.append(server.stop)
            await server.serve(sockets=[listener])


def _stand_ins(settings: Settings, url: str) -> Sandbox:
    return Sandbox(base_url=url, kie_hmac_key=settings.providers["kie"].webhook_hmac_key)


def _given(host: str | None, port: str | None) -> dict[str, str]:
    options = {"RELAY_HOST": host, "RELAY_PORT": port}
    return {name: value for name, value in options.items() if value is not None}


def _tell_of_key(prepared: Prepared) -> None:
    if prepared.admin_key_file is None:
        return
    _log.info("the admin key is in %s", prepared.admin_key_file.resolve())
    if prepared.is_new and sys.stdout.isatty():
        click.echo(f"The admin key, shown this once: {prepared.settings.admin_key}")
