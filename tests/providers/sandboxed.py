"""The sandbox on a real server of this process, and what tests ask of it."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.types import ASGIApp

from relay.providers.sandbox import Sandbox

KEY = "any-key"
BEARER = {"authorization": f"Bearer {KEY}"}
QUICK = "sandbox:slow=0.05"
SUBMIT = {
    "serevix": "/serevix/flux/v1/flux-pro-1.1",
    "apiframe": "/apiframe/flux-imagine",
    "segmind": "/segmind/v1/flux-1.1-pro",
    "kie": "/kie/api/v1/flux/kontext/generate",
    "yescale": "/yescale/v1/images/generations",
}
LEAST: dict[str, dict[str, Any]] = {name: {"model": "flux-pro"} if name == "apiframe" else {} for name in SUBMIT}
"""What a submission must say beside its prompt."""


def auth(provider: str, key: str = KEY) -> dict[str, str]:
    """The header in which a provider wants its key."""
    match provider:
        case "segmind":
            return {"x-api-key": key}
        case "apiframe":
            return {"authorization": key}
        case _:
            return {"authorization": f"Bearer {key}"}


class Client(httpx.AsyncClient):
    """A client of a running sandbox."""

    async def submit(self, provider: str, prompt: str = f"a lighthouse {QUICK}", *, key: str = KEY, **fields: Any) -> httpx.Response:
        return await self.post(SUBMIT[provider], json={**LEAST[provider], "prompt": prompt, **fields}, headers=auth(provider, key))

    async def ledger(self, provider: str, prompt: str | None = None) -> tuple[int, int, int, int]:
        """Received, accepted, billed, callbacks_sent."""
        answer = await self.get("/ledger", params={} if prompt is None else {"prompt": prompt})
        tally = answer.json()[provider]
        return tally["received"], tally["accepted"], tally["billed"], tally["callbacks_sent"]

    async def serevix(self, **fields: Any) -> dict[str, Any]:
        """The final result of a submission to Serevix."""
        answer = await self.submit("serevix", **fields)
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(10):
            while (body := (await self.get(answer.json()["polling_url"], headers=BEARER)).json())["status"] == "Pending":
                await asyncio.sleep(0.02)
        return dict(body)

    async def apiframe(self, **fields: Any) -> dict[str, Any]:
        """How a submission to APIFRAME ends."""
        answer = await self.submit("apiframe", **fields)
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(10):
            while (body := await self.fetched(answer.json()["task_id"])).get("status") == "processing":
                await asyncio.sleep(0.02)
        return body

    async def fetched(self, task_id: str) -> dict[str, Any]:
        return dict((await self.post("/apiframe/fetch", json={"task_id": task_id}, headers=auth("apiframe"))).json())

    async def kie(self, **fields: Any) -> dict[str, Any]:
        """The final record of a submission to Kie."""
        answer = await self.submit("kie", **fields)
        assert answer.json()["code"] == 200, answer.text
        async with asyncio.timeout(10):
            while (record := (await self.record(answer.json()["data"]["taskId"])))["successFlag"] == 0:
                await asyncio.sleep(0.02)
        return record

    async def record(self, task_id: str) -> dict[str, Any]:
        answer = await self.get("/kie/api/v1/flux/kontext/record-info", params={"taskId": task_id}, headers=BEARER)
        return dict(answer.json()["data"])


def look(data: bytes) -> tuple[str | None, tuple[int, int]]:
    """Format and size of a picture that opens."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture.format, picture.size


def listen() -> socket.socket:
    """A free port of loopback. asyncio switches Nagle's algorithm off only where the protocol is named, and with it on each answer
    takes 40 ms."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    return listening


class Server(uvicorn.Server):
    """Stops when it is told to, instead of looking every 0.1 s, and waits for nobody."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(uvicorn.Config(app, log_level="error", lifespan="off"))
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 -- uvicorn's signature
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.01)  # the connections close in the next turns of the loop


@asynccontextmanager
async def running_sandbox(**options: Any) -> AsyncIterator[Client]:
    """`options` are those of Sandbox."""
    with listen() as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        sandbox, stopping = Sandbox(base_url=url, **options), asyncio.Event()
        server = Server(Starlette(routes=sandbox.routes()))
        async with asyncio.TaskGroup() as group, Client(base_url=url, timeout=20, trust_env=False, verify=False) as client:
            group.create_task(sandbox.run(stopping), name="sandbox")
            group.create_task(server.serve(sockets=[listening]), name="server")
            try:
                yield client
            finally:
                server.stopping.set()
                stopping.set()
