"""A subscriber that behaves as it is told: a real HTTP server on loopback, written on bare sockets, since much of what it does no
proper server would.

Its script says how to answer the first request for a webhook id, the second and so on; the last line goes on for ever.
"""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from msgspec import Struct


class Answer(Struct, frozen=True, kw_only=True):
    """One answer. `raw`: these bytes instead of a proper one. `pieces`: the body goes out in so many bytes at a time, with a pause of
    `pause` seconds between. `after`: what happens then: `keep` the connection, `close` it, `hang` (never another byte), or go on
    with the body for `ever`. `claims`: a content-length other than the body's. `until`: wait for this before the first byte."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b"ok"
    raw: bytes | None = None
    pieces: int | None = None
    pause: float = 0.0
    after: str = "keep"
    claims: int | None = None
    until: asyncio.Event | None = None

    def head(self) -> bytes:
        length = {} if self.after == "ever" else {"content-length": str(len(self.body) if self.claims is None else self.claims)}
        lines = [f"HTTP/1.1 {self.status} Told", *(f"{name}: {value}" for name, value in (length | self.headers).items())]
        return "\r\n".join([*lines, "", ""]).encode()


SILENT = Answer(raw=b"", after="hang")
OK = Answer()


class Received(Struct, frozen=True, kw_only=True):
    """A request as it came. Header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Receiver:
    """`async with Receiver(...) as receiver`, then `receiver.url`. `script`: see the module docstring; none: 200 always."""

    def __init__(self, *script: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._script = script or (OK,)
        self._tls = tls
        self._host = host
        self._server: asyncio.Server | None = None
        self._seen: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()
        self._changed = asyncio.Condition()
        self.requests: list[Received] = []
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/hook"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._on_connect, self._host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in self._transports:
            transport.abort()  # one that came so late that its task never ran
        if self._server:
            await self._server.wait_closed()
        await asyncio.sleep(0)

    def say(self, *script: Answer) -> None:
        """From now on, to what it has seen already too."""
        self._script = script
        self._seen.clear()

    async def wait_until(self, is_so: Callable[[Self], bool]) -> None:
        """Until enough has been received; fails after ten seconds."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: is_so(self))

    async def wait_for_requests(self, number: int) -> list[Received]:
        await self.wait_until(lambda receiver: len(receiver.requests) >= number)
        return self.requests

    def _on_connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._transports.add(writer.transport)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, self.connections), name="receiver connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer, connection):
                    pass
        finally:
            self._transports.discard(writer.transport)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> bool:
        request = await _read_request(reader, connection)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        name = request.headers.get("webhook-id", "")
        answer = self._script[min(self._seen[name], len(self._script) - 1)]
        self._seen[name] += 1
        self.requests.append(request)
        await self._tell()
        try:
            return await _answer(writer, answer)
        finally:
            self.at_once -= 1
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, target=target, headers=headers, body=body, connection=connection)


async def _answer(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """True if the connection stays open for another request."""
    if answer.until:
        await answer.until.wait()
    data = answer.head() + answer.body if answer.raw is None else answer.raw
    size = answer.pieces or len(data) or 1
    for start in range(0, len(data), size):
        writer.write(data[start:start + size])
        await writer.drain()
        if answer.pieces:
            await asyncio.sleep(answer.pause)
    while answer.after == "ever":
        writer.write(b"x" * 1024)
        await writer.drain()
    if answer.after == "hang":
        await asyncio.Event().wait()
    return answer.after == "keep"
