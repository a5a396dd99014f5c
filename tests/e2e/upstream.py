"""A provider that does exactly what a test tells it, when it is told: for the moments at which a process is killed."""

import asyncio
import io
from typing import Any

import httpx
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def _pixel() -> bytes:
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
            return Response(_pixel(), media_type="image/png")
        return JSONResponse({"task_id": "up-1"} if "apiframe" in request.url.path else {"id": "up-1"})

    async def poll(self, request: Request) -> Response:
        self.polls += 1
        self.polled.set()
        await self.poll_gate.wait()
        if "apiframe" in request.url.path:
            return JSONResponse({"task_id": "up-1", "task_type": "flux-imagine", "status": "processing", "percentage": 10})
        return JSONResponse({"id": "up-1", "status": "Ready", "result": {"sample": "https://images.example.com/1.png", "seed": 1}})

    async def call_back(self, number: int = 0) -> httpx.Response:
        """The final callback of a submit, as APIFRAME sends it."""
        asked = self.submits[number]
        body = {"task_id": "up-1", "task_type": "flux-imagine", "original_image_url": "https://images.example.com/o.png",
                "image_url": "https://images.example.com/1.png"}
        async with httpx.AsyncClient(timeout=20) as client:
            return await client.post(asked["webhook_url"], json=body, headers={"x-webhook-secret": asked["webhook_secret"]})

    def app(self) -> Starlette:
        return Starlette(routes=[
            Route("/apiframe/flux-imagine", self.submit, methods=["POST"]),
            Route("/apiframe/fetch", self.poll, methods=["POST"]),
            Route("/serevix/flux/v1/get_result", self.poll),
            Route("/serevix/flux/v1/{model}", self.submit, methods=["POST"]),
            Route("/segmind/v1/{model}", self.submit, methods=["POST"]),
        ])
