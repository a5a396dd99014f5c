"""What stands beside Relay in the same run, each a process of its own: `python -m tests.bench.yardstick endpoint`, `writer FILE
SECONDS`, `client PORT SECONDS`.

- endpoint: a Starlette application that does nothing, under uvicorn as Relay uses it (uvloop, httptools, no access log).
- writer: rows of the size of a callback into SQLite with synchronous=FULL, one transaction for what waits, 64 callers waiting.
- client: posts by aiohttp, 64 at a time, to a receiver that does nothing.
"""

import asyncio
import socket
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

AT_ONCE: Final = 64
BODY: Final = b'{"filler":"' + b"x" * 587 + b'"}'
_BACKLOG: Final = 2048


def _say(value: float) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


async def _nothing(_request: Request) -> Response:
    return Response()


async def _endpoint() -> None:
    app = Starlette(routes=[Route("/", _nothing, methods=["POST"])])
    config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False)
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        _say(listener.getsockname()[1])
        await uvicorn.Server(config).serve(sockets=[listener])


class _Writer:
    """What waits when the thread is free shares one transaction."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[asyncio.Future[None]] = []
        self._woken = asyncio.Event()
        self.written = 0

    async def write(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._woken.set()
        await waiting

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            await self._woken.wait()
            self._woken.clear()
            batch, self._waiting = self._waiting, []
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, len(batch))
            self.written += len(batch)
            for waiting in batch:
                waiting.set_result(None)

    def _commit(self, count: int) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO rows (body) VALUES (?)", [(BODY,)] * count)
        self._connection.execute("COMMIT")


async def _write(path: str, seconds: float) -> None:
    writer = _Writer(path)
    callers = [asyncio.create_task(_again_and_again(writer), name="caller") for _ in range(AT_ONCE)]
    begun = time.monotonic()
    await writer.run(begun + seconds)
    _say(writer.written / (time.monotonic() - begun))
    for caller in callers:
        caller.cancel()


async def _again_and_again(writer: _Writer) -> None:
    while True:
        await writer.write()


async def _post(port: int, seconds: float) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        begun = time.monotonic()
        counts = await asyncio.gather(*(_posts(session, f"http://127.0.0.1:{port}/", begun + seconds) for _ in range(AT_ONCE)))
        _say(sum(counts) / (time.monotonic() - begun))


async def _posts(session: aiohttp.ClientSession, url: str, until: float) -> int:
    count = 0
    while time.monotonic() < until:
        async with session.post(url, data=BODY) as answer:
            await answer.read()
        count += 1
    return count


def main() -> None:
    match sys.argv[1:]:
        case ["endpoint"]:
            uvloop.run(_endpoint())
        case ["writer", path, seconds]:
            uvloop.run(_write(path, float(seconds)))
        case ["client", port, seconds]:
            uvloop.run(_post(int(port), float(seconds)))


if __name__ == "__main__":
    main()
