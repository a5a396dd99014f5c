"""Real processes for the end-to-end tests: relay and sandbox as their users start them, and a subscriber that writes down what comes."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

ADMIN_KEY = "rly_" + "e2e" * 12


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """One `relay …` process that serves HTTP on a port of ours, so that it can come back at the same address."""

    def __init__(self, *arguments: str, port: int, env: dict[str, str], log: Path, ready: str = "/healthz", module: str = "relay") -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = ("-m", module, *arguments)
        self._env = {**{k: v for k, v in os.environ.items() if not k.startswith("RELAY_")}, **env}
        self.log = log
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._arguments, env=self._env, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(20), httpx.AsyncClient() as client:
            while not await self._is_up(client):
                await asyncio.sleep(0.05)
        return self

    async def _is_up(self, client: httpx.AsyncClient) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise AssertionError(f"relay exited with {self._process.returncode}: {self.log.read_text()[-2000:]}")
        try:
            return (await client.get(self.url + self._ready)).status_code == 200
        except httpx.TransportError:
            return False

    async def ended(self) -> int:
        """The exit code, once it has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(40):
            return await self._process.wait()

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> int:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        async with asyncio.timeout(40):
            return await self._process.wait()


class Api(httpx.AsyncClient):
    """The API of a relay, as its admin."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=70)

    async def submit(self, **task: Any) -> dict[str, Any]:
        answer = await self.post("/api/v1/tasks", json=task)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def subscribe(self, url: str, **subscription: Any) -> dict[str, Any]:
        answer = await self.post("/api/v1/subscriptions", json={"url": url, **subscription})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def ended(self, task_id: str, seconds: float = 60) -> dict[str, Any]:
        """The task once it is final."""
        async with asyncio.timeout(seconds):
            while True:
                answer = await self.get(f"/api/v1/tasks/{task_id}", params={"wait": "20"})
                task = dict(answer.json())
                if task["status"] in ("succeeded", "failed"):
                    return task


class Inbox:
    """A subscriber: keeps every event that comes and answers 200, or as `answer` says."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]] | None = None) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self._answer = answer
        self._arrived = asyncio.Condition()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]

    async def take(self, request: Request) -> Response:
        body = await request.body()
        async with self._arrived:
            self.received.append((dict(request.headers), body))
            self._arrived.notify_all()
        return await self._answer(request) if self._answer else Response(status_code=200)

    async def holds(self, count: int, seconds: float = 30) -> None:
        """Until that many requests have come."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self.take, methods=["POST"])])


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, port: int = 0) -> AsyncIterator[str]:
    """A real server in this process; gives its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    listening = socket.create_server(("127.0.0.1", port), backlog=512)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio's own loop does not, for a socket that it did not make: 40 ms
    running = asyncio.create_task(server.serve(sockets=[listening]), name="test server")
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
