"""A line to a server that breaks: before the request is through, while the answer is waited for, or in the middle of it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_PIECE = 65536


class Cutter:
    """Passes bytes on, and cuts most connections once. `cuts`: how many so far, by where."""

    def __init__(self, host: str, port: int, chance: random.Random, longest: float) -> None:
        self.cuts = {"asking": 0, "waiting": 0, "answering": 0}
        self._target = (host, port)
        self._chance = chance
        self._longest = longest

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection(*self._target)
        fate = self._chance.choice([*self.cuts, "nothing"])
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(self._pass_on(reader, there, fate, "asking"), name="there"),
                    group.create_task(self._pass_on(there_reader, writer, fate, "answering"), name="back")]
            if fate == "waiting":
                work.append(group.create_task(self._wait(fate), name="cut while waiting"))
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for side in (writer, there):
                side.transport.abort()
            for task in work:
                task.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fate: str, side: str) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                if fate == side:
                    self.cuts[fate] += 1
                    writer.write(data[:self._chance.randrange(len(data))])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()

    async def _wait(self, fate: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, self._longest))
        self.cuts[fate] += 1


@asynccontextmanager
async def cutting(url: str, *, seed: int, longest: float) -> AsyncIterator[tuple[str, Cutter]]:
    """The URL under which the server is reached by a breaking line. `longest`: seconds that pass before a wait is cut."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    cutter = Cutter(parts.hostname, parts.port, random.Random(seed), longest)  # noqa: S311 -- chance that can be repeated
    server = await asyncio.start_server(cutter.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", cutter
    finally:
        server.close()
