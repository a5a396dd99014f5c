"""Several relays on one PostgreSQL, behind a proxy, with all who have to do with them."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import asyncpg

from tests.e2e.crowd import Crowd, open_crowd
from tests.e2e.harness import Api, Inbox, Process, free_port, serving
from tests.e2e.proxy import open_proxy
from tests.e2e.studio import Studio, open_studio
from tests.e2e.upstream import relay_beside

SECRET_KEY: Final = "fleet-" * 8
_PATIENCE: Final = 60.0


class Fleet(NamedTuple):
    """`api` asks the last of the relays, `url` leads to any of them. The first one that started has all the duties."""

    relays: Sequence[Process]
    logs: Sequence[Path]
    url: str
    database: str
    api: Api
    studio: Studio
    inbox: Inbox
    crowd: Crowd
    chance: random.Random

    async def ask(self, sql: str) -> Any:
        """One value out of the database."""
        connection = await asyncpg.connect(self.database)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def until(self, sql: str, value: object) -> None:
        """Until the database says so."""
        async with asyncio.timeout(_PATIENCE):
            while await self.ask(sql) != value:
                await asyncio.sleep(0.05)

    async def are_ready(self) -> None:
        """Until all of them say so."""
        async with asyncio.timeout(_PATIENCE):
            for relay in self.relays:
                async with Api(relay.url) as api:
                    while (await api.get("/readyz")).status_code != 200:
                        await asyncio.sleep(0.05)

    def lines(self) -> list[int]:
        """How long each log is."""
        return [log.read_bytes().count(b"\n") for log in self.logs]


@contextlib.asynccontextmanager
async def open_fleet(folder: Path, database: str, *, count: int = 3, seed: int = 0, skews: Sequence[float] = (),
                     roles: Sequence[str] = (), **env: str) -> AsyncIterator[Fleet]:
    """So many relays with one subscriber, which hears of everything. `skews`: by how much the clock of each is wrong; `roles`: theirs;
    requests go to those that are no workers. `env`: what is different in their environment."""
    chance = random.Random(seed)  # noqa: S311 -- moments and choices, no secrets
    inbox = Inbox()
    async with contextlib.AsyncExitStack() as stack:
        sink = await stack.enter_async_context(serving(inbox.app()))
        studio = await stack.enter_async_context(open_studio(chance))
        upstream = await stack.enter_async_context(serving(studio.app()))
        front = free_port()
        shared = {
            "RELAY_DATABASE_URL": database, "RELAY_SECRET_KEYS": SECRET_KEY, "RELAY_DATA_DIR": str(folder / "data"),
            "RELAY_PUBLIC_URL": f"http://127.0.0.1:{front}", "RELAY_LOG_LEVEL": "warning", **env}
        folders = [_new(folder / f"relay-{number}") for number in range(count)]
        relays = [
            relay_beside(upstream, own, module="tests.e2e.skewed" if skews else "relay", arguments=["--role", role] if role else [],
                         SKEW_SECONDS=str(skew), **shared)
            for own, role, skew in zip(folders, roles or [""] * count, skews or [0] * count, strict=True)]
        for relay in relays:
            stack.push_async_callback(relay.kill)
            await relay.start()
        asked = [relay for relay, role in zip(relays, roles or [""] * count, strict=True) if role != "worker"]
        url = await stack.enter_async_context(open_proxy([urlsplit(relay.url).port or 0 for relay in asked], front))
        api = await stack.enter_async_context(Api(asked[-1].url))
        await api.subscribe(f"{sink}/hook", events=["task.*"])
        crowd = await stack.enter_async_context(open_crowd(url))
        yield Fleet(relays, [own / "relay.log" for own in folders], url, database, api, studio, inbox, crowd, chance)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
