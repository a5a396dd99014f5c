"""A line to a server that can be cut: passes requests on, and hangs up on the client when the answer begins, or in the middle of it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_HARD = struct.pack("ii", 1, 0)  # close with a reset, as a line that breaks does


class Scissors:
    """A line to a port of loopback; where it begins is its `url`."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._cuts: list[int] = []
        self._port = port
        self._lines: set[asyncio.Task[None]] = set()

    def cut_next(self, *, after: int = 0) -> None:
        """Cut the next connection as soon as the server has answered with more than so many bytes, which still come through."""
        self._cuts.append(after)

    def cut_now(self) -> None:
        """Cut every connection there is."""
        for line in self._lines:
            line.cancel()

    def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.create_task(self._pass_on(reader, writer), name="line")
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def close(self) -> None:
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = self._cuts.pop(0) if self._cuts else None
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        is_cut = True
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(_pump(reader, server_writer), name="asking")
                await _pump(server_reader, writer, limit)
                asking.cancel()
                is_cut = limit is not None
        finally:
            if is_cut:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD)
            for side in (writer, server_writer):
                side.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None = None) -> None:
    """Until the end of what comes, or until `limit` bytes of it have gone out and more is there."""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            if limit is not None and len(data) > limit:
                writer.write(data[:limit])
                await writer.drain()
                return
            limit = None if limit is None else limit - len(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def open_scissors(port: int) -> AsyncIterator[Scissors]:
    """A line to a port of loopback."""
    scissors = Scissors(port)
    server = await asyncio.start_server(scissors.pass_on, "127.0.0.1", 0)
    scissors.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield scissors
    finally:
        server.close()
        await scissors.close()
