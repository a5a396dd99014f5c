"""A provider of the tests: a real server on loopback that notes each request and answers as it was told, garbage included."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from msgspec import Struct


class Reply(Struct, frozen=True, kw_only=True):
    """An answer. `body` that is no bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = {}

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)

    @property
    def wire(self) -> bytes:
        """The whole answer as it goes over the line."""
        lines = [f"HTTP/1.1 {self.status} Whatever", f"content-length: {len(self.data)}"]
        if not isinstance(self.body, bytes):
            lines.append("content-type: application/json")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.data


class Request(Struct, frozen=True, kw_only=True):
    """A request that came in. `connection` counts the connections from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What to do with a request that was read, when it is no plain answer."""


class Upstream:
    """`answer` is what the next requests get: a Reply, raw bytes after which the line is cut, or a script. Unless it
    `reads_bodies`, that happens as soon as the head of a request is there."""

    def __init__(self) -> None:
        self.answer: Reply | bytes | Script = Reply()
        self.requests: list[Request] = []
        self.url = ""
        self.reads_bodies = True
        self._lines: list[asyncio.Task[None]] = []

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self._lines) + 1
        self._lines.append(asyncio.create_task(self._talk(reader, writer, number), name=f"line-{number}"))

    async def close(self) -> None:
        """Hang up on whoever is still there."""
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            while await self._exchange(reader, writer, number):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        """One request and its answer; whether the line stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0"))) if self.reads_bodies else b""
        self.requests.append(Request(method=method, path=path, headers=headers, body=body, connection=number))
        if isinstance(self.answer, Reply):
            writer.write(self.answer.wire)
        elif isinstance(self.answer, bytes):
            writer.write(self.answer)
        else:
            await self.answer(reader, writer)
        await writer.drain()
        return isinstance(self.answer, Reply)


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    """An Upstream that listens at `url`."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close()
