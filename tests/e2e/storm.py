"""A relay that is killed again and again while callbacks, polls and submits go on, and what came of it."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from tests.e2e.crowd import Audit, Crowd, at_rest, audit, open_crowd
from tests.e2e.harness import Api, Inbox, Process, serving
from tests.e2e.studio import Studio, open_studio
from tests.e2e.upstream import relay_beside

_LONGEST_LIFE: Final = 0.8
_PAUSE: Final = 0.2
_PATIENCE: Final = 30.0
_TAKING: Final = 0.02  # seconds that the subscriber takes, so that some deliveries are under way at any moment


class Scene(NamedTuple):
    """Everybody who has to do with a relay, and the relay."""

    relay: Process
    api: Api
    studio: Studio
    inbox: Inbox
    crowd: Crowd
    database: Path
    log: Path
    chance: random.Random


    async def is_ready(self) -> None:
        """Until it says so."""
        async with asyncio.timeout(_PATIENCE):
            while (await self.api.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def open_scene(folder: Path, seed: int = 0, *, module: str = "relay", **env: str) -> AsyncIterator[Scene]:
    """A relay with one subscriber, which hears of everything. `module`: see relay_beside."""
    chance = random.Random(seed)  # noqa: S311 -- moments and choices, no secrets
    inbox = Inbox(_take_time)
    async with contextlib.AsyncExitStack() as stack:
        sink = await stack.enter_async_context(serving(inbox.app()))
        studio = await stack.enter_async_context(open_studio(chance))
        upstream = await stack.enter_async_context(serving(studio.app()))
        relay = relay_beside(upstream, folder, module=module, **{"RELAY_LOG_LEVEL": "warning", **env})
        stack.push_async_callback(relay.kill)
        await relay.start()
        api = await stack.enter_async_context(Api(relay.url))
        await api.subscribe(f"{sink}/hook", events=["task.*"])
        crowd = await stack.enter_async_context(open_crowd(relay.url))
        yield Scene(relay, api, studio, inbox, crowd, folder / "data" / "relay.db", folder / "relay.log", chance)


async def _take_time(_: Request) -> Response:
    await asyncio.sleep(_TAKING)
    return Response()


async def storm(folder: Path, *, kills: int, watched: int, seed: int) -> Audit:
    """The same seed gives the same moments and the same load, as far as the machine keeps time."""
    # A task that was marked as sent and did not get as far as the provider waits for a callback until its deadline.
    async with open_scene(folder, seed, RELAY_APIFRAME_DEADLINE="12s") as scene:
        await scene.crowd.watch(watched)
        is_over = asyncio.Event()
        async with asyncio.TaskGroup() as load:
            load.create_task(scene.crowd.call_back(_PAUSE), name="callbacks")
            load.create_task(scene.crowd.submit(is_over, scene.chance, _PAUSE), name="submits")
            moments = [await _kill_at_a_random_moment(scene.relay, scene.chance) for _ in range(kills)]
            is_over.set()
        return audit(await at_rest(scene.api, scene.studio), scene.crowd, scene.inbox, scene.studio, tuple(moments))


async def _kill_at_a_random_moment(relay: Process, chance: random.Random) -> float:
    await asyncio.sleep(chance.random() * _LONGEST_LIFE)
    moment = time.monotonic()
    await relay.kill()
    await relay.start()
    return moment
