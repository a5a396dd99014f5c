"""`relay sandbox`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import click
import uvloop
from starlette.applications import Starlette

from relay.cli.address import is_loopback
from relay.cli.server import Server, bind, port_of, say_address, stopped_by_signals
from relay.observe.log import set_up_logging
from relay.providers.sandbox import Sandbox
from relay.settings import listen_url

_GRACE: Final = 2.0


@click.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 takes a free one.")
@click.option("--kie-hmac-key", envvar="RELAY_KIE_WEBHOOK_HMAC_KEY", show_envvar=True, help="Kie's callbacks are signed with it.")
def command(host: str, port: int, kie_hmac_key: str | None) -> None:
    """Run stand-ins for the five providers.

    Serevix, APIFRAME, Segmind, Kie and YEScale as their documents describe them, below /serevix, /apiframe, /segmind, /kie and
    /yescale; with real images, real callbacks and no bill. GET /ledger counts what was asked of them. Any key is valid but those that
    begin with `bad`, and callbacks go wherever a request asks: keep it where no stranger reaches it.
    """
    set_up_logging(style="text", level="info")
    if not is_loopback(host):
        click.echo("relay: the sandbox takes any key and calls any URL; other machines can reach it here", err=True)
    with bind(host, port) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, listen_url(host, port_of(listener)), kie_hmac_key))


@asynccontextmanager
async def open_sandbox(url: str, kie_hmac_key: str | None = None) -> AsyncIterator[tuple[Starlette, Callable[[], None]]]:
    """The stand-ins at work, as an ASGI application that is reached at `url`, and what begins their stop; leaving the context
    stops them."""
    sandbox = Sandbox(base_url=url, kie_hmac_key=kie_hmac_key)
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(sandbox.run(stopping), name="sandbox")
        try:
            yield Starlette(routes=sandbox.routes()), stopping.set
        finally:
            stopping.set()


async def _serve(listener: socket.socket, url: str, kie_hmac_key: str | None) -> None:
    async with open_sandbox(url, kie_hmac_key) as (app, stop):
        server = Server(app, grace=_GRACE, on_start=lambda: say_address("The sandbox", url), on_stop=stop)
        with stopped_by_signals(server.stop):
            await server.serve(sockets=[listener])
