"""A provider that does exactly what a test tells it, when it is told: for the moments at which a process is killed."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.e2e.harness import ADMIN_KEY, Process, free_port

Handler = Callable[[Request], Awaitable[Response]]


def relay_beside(upstream_url: str, folder: Path, *, module: str = "relay", arguments: Sequence[str] = (), **env: str) -> Process:
    """A relay, not yet started, whose providers are the upstream at that URL. `env`: what is different in its environment.
    `module`: what is started instead, and takes the same arguments, `arguments` among them."""
    port = free_port()
    settings = {
        "RELAY_PORT": str(port), "RELAY_DATA_DIR": str(folder / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_LOG": "text",
        "RELAY_ALLOW_CIDRS": "127.0.0.0/8", "RELAY_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    for name in ("APIFRAME", "SEREVIX", "SEGMIND"):
        settings |= {f"RELAY_{name}_API_KEY": "up", f"RELAY_{name}_BASE_URL": f"{upstream_url}/{name.lower()}"}
    return Process("serve", *arguments, port=port, env={**settings, **env}, log=folder / "relay.log", module=module)


def upstream_app(submit: Handler, poll: Handler) -> Starlette:
    """The paths of APIFRAME, Serevix and Segmind."""
    return Starlette(routes=[
        Route("/apiframe/flux-imagine", submit, methods=["POST"]),
        Route("/apiframe/fetch", poll, methods=["POST"]),
        Route("/serevix/flux/v1/get_result", poll),
        Route("/serevix/flux/v1/{model}", submit, methods=["POST"]),
        Route("/segmind/v1/{model}", submit, methods=["POST"]),
    ])


def success(task_id: str) -> dict[str, str]:
    """What APIFRAME calls back with when the task has ended."""
    return {"task_id": task_id, "task_type": "flux-imagine", "original_image_url": "https://images.example.com/o.png",
            "image_url": "https://images.example.com/1.png"}


def ready(task_id: str) -> dict[str, Any]:
    """What Serevix tells whoever asks then."""
    return {"id": task_id, "status": "Ready", "result": {"sample": "https://images.example.com/1.png", "seed": 1}}


def pixel() -> bytes:
    """A picture."""
    picture = io.BytesIO()
    Image.new("RGB", (1, 1), "navy").save(picture, "PNG")
    return picture.getvalue()


class Upstream:
    """Speaks APIFRAME, Serevix and Segmind. A submit or a poll is answered only while its gate is open."""

    def __init__(self) -> None:
        self.submits: list[dict[str, Any]] = []
        self.polls = 0
        self.submit_gate = asyncio.Event()
        self.poll_gate = asyncio.Event()
        self.arrived = asyncio.Event()
        self.polled = asyncio.Event()

    async def submit(self, request: Request) -> Response:
        self.submits.append(await request.json())
        self.arrived.set()
        await self.submit_gate.wait()
        if request.url.path.startswith("/segmind"):
            return Response(pixel(), media_type="image/png")
        return JSONResponse({"task_id": "up-1"} if "apiframe" in request.url.path else {"id": "up-1"})

    async def poll(self, request: Request) -> Response:
        self.polls += 1
        self.polled.set()
        await self.poll_gate.wait()
        if "apiframe" in request.url.path:
            return JSONResponse({"task_id": "up-1", "task_type": "flux-imagine", "status": "processing", "percentage": 10})
        return JSONResponse(ready("up-1"))

    async def call_back(self, number: int = 0) -> httpx.Response:
        """The final callback of a submit, as APIFRAME sends it."""
        asked = self.submits[number]
        proof = {"x-webhook-secret": asked["webhook_secret"]}
        async with httpx.AsyncClient(timeout=20) as client:
            return await client.post(asked["webhook_url"], json=success("up-1"), headers=proof)

    def app(self) -> Starlette:
        return upstream_app(self.submit, self.poll)
