"""Serving HTTP: a socket that is bound first, and a uvicorn server whose stop is ours to order.

The stop: the application hears of it (streams and waits end), no connection is taken any more, what is under way is awaited.
A signal ends the process with exit code 0, which is why uvicorn's habit of raising it again afterwards is left out.
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import click
import uvicorn

from relay.cli.connection import Connection
from relay.errors import RelayError

_BACKLOG: Final = 2048
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Occupied(RelayError):
    """The address cannot be listened on."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises Occupied with what to do about it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else _without_address(exc)  # a name that is not found: below zero
        raise Occupied(f"cannot listen on {host}, port {port}: {why}. Choose another with --host or --port.") from exc


def _without_address(exc: OSError) -> str:
    return (exc.strerror or type(exc).__name__).partition(" (while ")[0]


def port_of(listener: socket.socket) -> int:
    """The port that a socket got."""
    port = listener.getsockname()[1]
    assert isinstance(port, int)  # noqa: S101 -- an internet socket's address says nothing else
    return port


def _is_no_cut_off(record: logging.LogRecord) -> bool:
    """A request that outlives the grace period is cut off, which uvicorn says once; its traceback as well would look like a bug."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class Server(uvicorn.Server):
    """`on_start` is called when connections are taken, `on_stop` before they no longer are. `grace` in seconds, for requests that
    are under way."""

    def __init__(self, app: Any, *, grace: float, on_start: Callable[[], None], on_stop: Callable[[], None]) -> None:  # noqa: ANN401 -- any ASGI application
        super().__init__(uvicorn.Config(
            app, loop="none", http=Connection, ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, backlog=_BACKLOG, timeout_graceful_shutdown=math.ceil(grace),
        ))
        logging.getLogger("uvicorn.error").addFilter(_is_no_cut_off)
        self._on_start = on_start
        self._on_stop = on_stop

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until `stop`; a cancelled server takes no connection any more either."""
        try:
            await super().serve(sockets)
        finally:
            for server in getattr(self, "servers", ()):  # none yet if it never came up
                server.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Whoever starts a server decides what signals do: see `stopped_by_signals`."""
        yield

    def stop(self) -> None:
        """Begin to stop; a second time, do not wait for what is under way."""
        self.force_exit = self.should_exit
        self.should_exit = True


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop` while this is open."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def say_address(name: str, url: str) -> None:
    """The line that says where a server is, for people and for programs that wait for it."""
    click.echo(f"{name} is at {url}")
