"""Receivers with every fault that we know of, a process of its own: `python -m tests.bench.faulty`.

It says on stdout at which port it is. Each path `/KIND/NUMBER` is a receiver by itself, which counts what comes and notes which events
it has accepted. A line on stdin names a file for that ledger; a line on stdout says that it is written.
"""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, cast

import msgspec
from msgspec import Struct

_GOOD: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_BROKEN: Final = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
_SLOW_SECONDS: Final = 0.3


class Ledger(Struct):
    """By path: how many requests came, and which events were answered 2xx, how often each."""

    requests: dict[str, int]
    accepted: dict[str, dict[str, int]]


class _Asked(Struct, frozen=True):
    """A request: `again` if an earlier one had the same id. `hung_up`: waits until whoever asked is gone."""

    path: str
    webhook_id: str
    again: bool
    hung_up: Callable[[], Awaitable[bytes]]


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """A port that refuses: somebody has it, and does not listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


_Reply = Callable[[_Asked, asyncio.StreamWriter], Awaitable[bool]]
"""Whether the event was accepted."""


async def _good(_asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_GOOD)
    return True


async def _broken(_asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_BROKEN)
    return False


async def _recovering(asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    return await (_good if asked.again else _broken)(asked, writer)


async def _slow(asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(_SLOW_SECONDS)
    return await _good(asked, writer)


async def _hanging(asked: _Asked, _writer: asyncio.StreamWriter) -> bool:
    await asked.hung_up()
    raise ConnectionResetError


async def _busy(asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    """For one event in four, the first time."""
    if asked.again or ord(asked.webhook_id[-1]) % 4:
        return await _good(asked, writer)
    writer.write(b"HTTP/1.1 429 Slowly\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")
    return False


async def _gone(_asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")
    return False


async def _moved(asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(f"HTTP/1.1 308 Elsewhere\r\nlocation: /followed{asked.path}\r\ncontent-length: 0\r\n\r\n".encode())
    return False


async def _torn(_asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    """Half an answer, then a reset."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf of it")
    cast("socket.socket", writer.get_extra_info("socket")).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _endless(_asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x" * 1024)
            await writer.drain()
            await asyncio.sleep(0)
    return True


async def _garbage(_asked: _Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    writer.close()
    return False


_REPLIES: Final[dict[str, _Reply]] = {
    "healthy": _good, "broken": _broken, "recovering": _recovering, "slow": _slow, "hanging": _hanging, "busy": _busy, "gone": _gone,
    "moved": _moved, "torn": _torn, "endless": _endless, "garbage": _garbage, "followed": _good,
}


class _Receivers:
    """All of them."""

    def __init__(self) -> None:
        self.ledger = Ledger({}, {})
        self._seen: set[tuple[str, str]] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="connection")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                await self._exchange(await _read(reader), reader, writer)
        writer.close()

    async def _exchange(self, request: tuple[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path, webhook_id = request
        asked = _Asked(path, webhook_id, request in self._seen, reader.read)
        self._seen.add(request)
        self.ledger.requests[path] = self.ledger.requests.get(path, 0) + 1
        if await _REPLIES[path.split("/")[1]](asked, writer):
            accepted = self.ledger.accepted.setdefault(path, {})
            accepted[webhook_id] = accepted.get(webhook_id, 0) + 1


async def _read(reader: asyncio.StreamReader) -> tuple[str, str]:
    """The path and the webhook id of a request, once all of it is here."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    await reader.readexactly(int(headers["content-length"]))
    return head[0].split(" ")[1], headers["webhook-id"]


async def _run() -> None:
    receivers = _Receivers()
    server = await asyncio.start_server(receivers.take, "127.0.0.1", 0, backlog=2048)
    _say(server.sockets[0].getsockname()[1])
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        _write(receivers.ledger, Path(msgspec.json.decode(line, type=str)))
        _say("written")


def _write(ledger: Ledger, path: Path) -> None:
    path.write_bytes(msgspec.msgpack.encode(ledger))


def _say(value: int | str) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run())
