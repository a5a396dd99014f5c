"""A sandbox on a real server of this process that notes what it answered, and programs that talk to it."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.providers.sandbox import Sandbox
from tests.providers.sandboxed import Server, listen

FOLDER = Path(__file__).parent
KEY = "client-key"


class Told(Struct):
    """What was answered to one request."""

    path: str
    status: int = 0
    content_type: str = ""
    body: bytes = b""


class Listener:
    """Notes the answers of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self.told: list[Told] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = Told(path=scope["path"])
        self.told.append(told)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                told.status = message["status"]
                told.content_type = dict(message["headers"]).get(b"content-type", b"").decode()
            told.body += message.get("body", b"")
            await send(message)

        await self._app(scope, receive, note)


class Stage(Struct):
    """A running sandbox: where it is, and what it told."""

    url: str
    listener: Listener

    @property
    def last(self) -> Told:
        return self.listener.told[-1]

    async def run(self, script: str, provider: str) -> str:
        """What a client prints on stdout, with the provider's host and a key in its environment."""
        program = "node" if script.endswith(".js") else "sh"
        env = {"PATH": os.environ["PATH"], "HOST": f"{self.url}/{provider}", "KEY": KEY}
        process = await asyncio.create_subprocess_exec(
            program, FOLDER / script, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode(errors="replace")


@asynccontextmanager
async def open_stage(*, body_timeout: float = 10.0, kie_hmac_key: str | None = None,
                     routes: Sequence[BaseRoute] = ()) -> AsyncIterator[Stage]:
    """`routes`: what else is served there."""
    with listen() as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        sandbox, stopping = Sandbox(base_url=url, body_timeout=body_timeout, kie_hmac_key=kie_hmac_key), asyncio.Event()
        listener = Listener(Starlette(routes=[*routes, *sandbox.routes()]))
        server = Server(listener)
        async with asyncio.TaskGroup() as group:
            group.create_task(sandbox.run(stopping), name="sandbox")
            group.create_task(server.serve(sockets=[listening]), name="server")
            try:
                yield Stage(url=url, listener=listener)
            finally:
                server.stopping.set()
                stopping.set()
