"""What stands between a store and its server, and cuts the connection at a word: before it is there, or before its answer is back."""

import asyncio
import contextlib
from typing import Literal

_AT_ONCE = 1 << 16

Where = Literal["before", "amid", "after"]
"""Before the server has heard of it, while it does it, or after it has done it."""


class Cutter:
    """`cut`: the next `word` is the last that its connection hears of. `goes_on`, cleared: nothing is passed on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[None] | None] = set()
        self.cut: Where | None = None
        self.word = b"COMMIT\0"  # and no more: the end of a transaction, not its beginning
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def start(self) -> int:
        """The port that it listens on."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self.goes_on.set()
        if self._server:
            self._server.close()
        for task in [task for task in self._under_way if task]:
            task.cancel()
        await asyncio.gather(*(task for task in self._under_way if task), return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._under_way.add(task)
        its_reader, its_writer = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._back(its_reader, writer), name="back")
        try:
            await self._there(reader, its_writer, its_reader, back)
        finally:
            back.cancel()
            writer.close()
            its_writer.close()
            self._under_way.discard(task)

    async def _there(self, reader: asyncio.StreamReader, its_writer: asyncio.StreamWriter, its_reader: asyncio.StreamReader,
                     back: asyncio.Task[None]) -> None:
        while some := await reader.read(_AT_ONCE):
            await self.goes_on.wait()
            if self.cut and self.word in some:
                where, self.cut = self.cut, None
                if where == "amid":
                    its_writer.write(some)
                    await its_writer.drain()
                if where == "after":
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                    its_writer.write(some)
                    await its_reader.read(_AT_ONCE)  # it is done: nobody hears of it
                return
            its_writer.write(some)

    async def _back(self, its_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while some := await its_reader.read(_AT_ONCE):
                await self.goes_on.wait()
                writer.write(some)
        writer.close()
