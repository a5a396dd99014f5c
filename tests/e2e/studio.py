"""A provider for any number of tasks at once, which keeps books: what it was asked, how often, when, and which callbacks were taken.

It speaks APIFRAME, Serevix and Segmind, as the Upstream does, and ends each task by itself: APIFRAME calls back, sometimes before it has
answered and sometimes twice, and insists; Serevix tells whoever asks for the second time; Segmind holds the connection.
"""

import asyncio
import contextlib
import random
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.e2e.insistence import Insistent
from tests.e2e.upstream import pixel, ready, success, upstream_app

_TASK: Final = re.compile(r"task_[0-9a-z]+")
_PIXEL: Final = pixel()
_LONGEST_WORK: Final = 0.3


class Submit(Struct):
    """A request for a picture, as it came. Moments of CLOCK_MONOTONIC."""

    arrived_at: float
    answered_at: float | None = None


class Studio:
    """`submits`: by prompt. `acknowledged`: the tasks whose last callback was answered 2xx."""

    def __init__(self, asking: Insistent, work: asyncio.TaskGroup, chance: random.Random) -> None:
        self.submits: defaultdict[str, list[Submit]] = defaultdict(list)
        self.acknowledged: set[str] = set()
        self._asking = asking
        self._work = work
        self._chance = chance
        self._looked: set[str] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def submit(self, request: Request) -> Response:
        asked = await request.json()
        noted = Submit(time.monotonic())
        self.submits[asked["prompt"]].append(noted)
        answer = await self._answer(request.url.path, asked)
        noted.answered_at = time.monotonic()
        return answer

    async def _answer(self, path: str, asked: dict[str, Any]) -> Response:
        provider_task_id = f"up-{asked['prompt']}"
        if path.startswith("/apiframe") and not self._is_closed:
            self._calls.add(self._work.create_task(self._call_back(asked, provider_task_id), name="call back"))
        await self._take_time()
        if path.startswith("/segmind"):
            return Response(_PIXEL, media_type="image/png")
        return JSONResponse({"task_id": provider_task_id, "id": provider_task_id})

    async def _call_back(self, asked: dict[str, Any], provider_task_id: str) -> None:
        await self._take_time()
        named = _TASK.search(asked["webhook_url"])
        assert named
        for _ in range(self._chance.choice((1, 1, 2))):
            await self._asking.post(asked["webhook_url"], success(provider_task_id), {"x-webhook-secret": asked["webhook_secret"]})
            self.acknowledged.add(named[0])

    async def poll(self, request: Request) -> Response:
        if request.url.path.startswith("/apiframe"):  # asked because the callback is late: that is on its way
            return JSONResponse({**await request.json(), "task_type": "flux-imagine", "status": "processing"})
        provider_task_id = request.query_params["id"]
        if provider_task_id in self._looked:
            return JSONResponse(ready(provider_task_id))
        self._looked.add(provider_task_id)
        return JSONResponse({"id": provider_task_id, "status": "Pending"})

    async def has_called(self) -> None:
        """Once every callback has been taken."""
        if self._calls:
            await asyncio.wait(self._calls)

    def close(self) -> None:
        """No more callbacks: not those that are on their way, nor for what is still to be submitted. The relay may go."""
        self._is_closed = True
        for call in self._calls:
            call.cancel()

    async def _take_time(self) -> None:
        await asyncio.sleep(self._chance.random() * _LONGEST_WORK)

    def app(self) -> Starlette:
        return upstream_app(self.submit, self.poll)


@contextlib.asynccontextmanager
async def open_studio(chance: random.Random) -> AsyncIterator[Studio]:
    """Leaving it waits until every callback was taken."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as work:
        yield Studio(Insistent(session), work, chance)
