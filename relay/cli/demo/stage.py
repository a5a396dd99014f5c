"""What the demo plays on: stand-ins for the providers, a relay and a subscriber, each with a socket of its own on loopback.

All three live in this process, so that whatever ends the demo ends them too, kill -9 included; between them goes nothing but HTTP. The
relay reads no settings but those made here: no account of the person who tries the demo is ever used.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from relay.app import open_app
from relay.cli.demo.subscriber import Subscriber
from relay.cli.first_start import prepare_data_dir
from relay.cli.sandbox import open_sandbox
from relay.cli.serve import sandbox_defaults
from relay.cli.server import Server, bind, port_of
from relay.settings import Settings, load_settings

_GRACE: Final = 2.0
_LOOPBACK: Final = "127.0.0.1"


class Stage(NamedTuple):
    """Everything is up."""

    relay_url: str
    sandbox_url: str
    subscriber_url: str
    subscriber: Subscriber
    admin_key: str


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    """Start all three, with the relay's data in `folder`; leaving the context stops them."""
    with _listen() as for_sandbox, _listen() as for_relay, _listen() as for_subscriber:
        sandbox_url, relay_url, subscriber_url = map(_url, (for_sandbox, for_relay, for_subscriber))
        settings = _settings(folder, port_of(for_relay), relay_url, sandbox_url)
        subscriber = Subscriber()
        async with (
            open_sandbox(sandbox_url) as (stand_ins, stop_stand_ins), _serving(stand_ins, for_sandbox, stop_stand_ins),
            _serving(subscriber, for_subscriber, lambda: None),
            open_app(settings) as site, _serving(site, for_relay, site.state.stop),
        ):
            yield Stage(relay_url, sandbox_url, f"{subscriber_url}/webhooks", subscriber, settings.admin_key)


@asynccontextmanager
async def _serving(app: Any, listener: socket.socket, on_stop: Callable[[], None]) -> AsyncIterator[None]:  # noqa: ANN401 -- any ASGI application
    started = asyncio.Event()
    server = Server(app, grace=_GRACE, on_start=started.set, on_stop=on_stop)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]), name=f"server on port {port_of(listener)}")
        await started.wait()
        yield
        server.stop()


def _settings(folder: Path, port: int, relay_url: str, sandbox_url: str) -> Settings:
    environ = {"RELAY_DATA_DIR": str(folder), "RELAY_PORT": str(port), "RELAY_PUBLIC_URL": relay_url,
               "RELAY_SHUTDOWN_GRACE": f"{_GRACE}s", "RELAY_RECONCILE_AFTER": "3s"}  # a lost callback is made good while one watches
    return prepare_data_dir(load_settings(environ, defaults=sandbox_defaults(environ, sandbox_url))).settings


def _listen() -> socket.socket:
    return bind(_LOOPBACK, 0)


def _url(listener: socket.socket) -> str:
    return f"http://{_LOOPBACK}:{port_of(listener)}"
