"""What stands before several relays: passes each connection to the next one that takes it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

_AT_ONCE: Final = 1 << 16


class Proxy:
    """`ports`: of the relays, which may come and go. A connection to one that dies ends."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._turns = itertools.cycle(ports)
        self._count = len(ports)
        self._under_way: set[asyncio.Task[Any] | None] = set()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._under_way.add(task)
        try:
            if opened := await self._connect():
                await _join(reader, writer, *opened)
        finally:
            writer.close()
            self._under_way.discard(task)

    async def close(self) -> None:
        passing = [task for task in self._under_way if task]
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in itertools.islice(self._turns, self._count):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, its_reader: asyncio.StreamReader,
                its_writer: asyncio.StreamWriter) -> None:
    """Until either side has ended."""
    ways = [asyncio.create_task(_copy(*ends), name="pass on") for ends in ((reader, its_writer), (its_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        its_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await reader.read(_AT_ONCE):
            writer.write(some)
            await writer.drain()


@contextlib.asynccontextmanager
async def open_proxy(ports: Sequence[int], port: int) -> AsyncIterator[str]:
    """Gives its URL."""
    proxy = Proxy(ports)
    server = await asyncio.start_server(proxy.pass_on, "127.0.0.1", port, backlog=512)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        await proxy.close()
