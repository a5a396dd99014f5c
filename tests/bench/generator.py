"""The load generator, a process of its own: `python -m tests.bench.generator`, a Load on stdin, a Told on stdout.

It must never be what limits a run, so it does as little as can be: the bytes of every request are there before the start, answers
are read only for their status and their length, and nothing is collected meanwhile. Latency counts from the moment at which a request was
to be sent by the plan, not from when a connection was free for it: a service that stalls cannot hide that by holding the load back.
"""

import asyncio
import gc
import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvloop

from tests.bench.load import Load, Told, times_of

_GREETING: Final = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"  # whatever is answered: the kernel connects before anybody accepts


class _Connection(asyncio.Protocol):
    """One request at a time; `index`, `due` and `sent` are those of the one under way."""

    def __init__(self, crew: "_Crew") -> None:
        self._crew = crew
        self._rest = b""
        self.transport: asyncio.Transport | None = None
        self.index = -1
        self.due = 0.0
        self.sent = 0.0
        self.is_greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self._crew.greets:
            self.transport.write(_GREETING)
        else:
            self._crew.greeted(self)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = data.find(b"\r\n\r\n")
        self._rest = data
        if end < 0:
            return
        at = data.lower().find(b"content-length: ", 0, end)
        length = int(data[at + 16:data.find(b"\r", at)]) if at >= 0 else 0
        if len(data) < end + 4 + length:
            return
        self._rest = data[end + 4 + length:]
        if self.is_greeted:
            self._crew.answered(self, int(data[9:12]))
        else:
            self._crew.greeted(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.transport = None
        self._crew.lost(self)


class _Crew:
    """All connections, and what is still to be sent."""

    def __init__(self, load: Load, requests: list[tuple[str, bytes]]) -> None:
        self._load = load
        self._requests = [request for _, request in requests]
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._line: deque[tuple[float, int]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._left = self._plan()
        self._is_over = False
        self._greeted = 0
        self._all_greeted = asyncio.Event()
        self.finished = self._loop.create_future()
        self.answers: dict[int, int] = {}
        self.refused = self.broken = self.under_way = 0
        self.begun = self.ended = 0.0
        self.answered_after: list[float] = []
        self.took: list[float] = []
        self.late: list[float] = []
        self.due: dict[int, float] = {}

    def _plan(self) -> Iterator[int]:
        """The requests to be sent, by their place in the file."""
        indices = range(len(self._requests))
        return itertools.cycle(indices) if self._load.seconds else iter(indices)

    async def open(self) -> None:
        await asyncio.gather(*(self._connect() for _ in range(self._load.connections)))
        await self._all_greeted.wait()

    async def _connect(self) -> None:
        await self._loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._load.port)

    @property
    def greets(self) -> bool:
        return self._load.greets

    def greeted(self, connection: _Connection) -> None:
        connection.is_greeted = True
        self._greeted += 1
        if self._greeted == self._load.connections:
            self._all_greeted.set()
        self.give(connection)

    def begin(self) -> None:
        self.begun = time.monotonic()
        if self._load.rate:
            threading.Thread(target=self._keep_pace, args=(self._load.rate,), name="pace", daemon=True).start()
            return
        idle, self._idle = self._idle, []
        for connection in idle:
            self.give(connection)

    def _keep_pace(self, rate: float) -> None:
        """In a thread, since the loop's own timers are a millisecond coarse."""
        for number in itertools.count():
            due = self.begun + number / rate
            index = next(self._left, None)
            if index is None or (self._load.seconds and due > self.begun + self._load.seconds):
                break
            time.sleep(max(0.0, due - time.monotonic()))
            self._loop.call_soon_threadsafe(self._is_due, due, index)
        self._loop.call_soon_threadsafe(self._end)

    def _is_due(self, due: float, index: int) -> None:
        self.late.append(time.monotonic() - due)
        self._enqueue(due, index)

    def _enqueue(self, due: float, index: int) -> None:
        self._line.append((due, index))
        if self._idle:
            self.give(self._idle.pop())

    def _end(self) -> None:
        self._is_over = True
        self._finish_if_done()

    def give(self, connection: _Connection) -> None:
        """The next request to this connection, if there is one."""
        if connection.transport is None:
            return
        following = self._line.popleft() if self._line else self._fresh()
        if following is None:
            self._idle.append(connection)
            return
        connection.due, connection.index = following
        self.under_way += 1
        connection.sent = time.monotonic()
        connection.transport.write(self._requests[connection.index])
        self.due.setdefault(connection.index, connection.due)

    def _fresh(self) -> tuple[float, int] | None:
        """In a closed loop a request is due when somebody is there to send it."""
        if not self.begun or self._load.rate or self._is_over:
            return None
        now = time.monotonic()
        is_late = self._load.seconds is not None and now > self.begun + self._load.seconds
        index = None if is_late else next(self._left, None)
        self._is_over = index is None
        return None if index is None else (now, index)

    def answered(self, connection: _Connection, status: int) -> None:
        now = time.monotonic()
        self.under_way -= 1
        if status == 503:
            self.refused += 1
            self._again(connection)
        else:
            self.answered_after.append(now - connection.due)
            self.took.append(now - connection.sent)
            self.answers[status] = self.answers.get(status, 0) + 1
            self.ended = now
        connection.index = -1
        self.give(connection)
        self._finish_if_done()

    def _again(self, connection: _Connection) -> None:
        self.under_way += 1  # it is not done with, so it counts until it is in line again
        self._loop.call_later(self._load.again_after, self._back_in_line, connection.due, connection.index)

    def _back_in_line(self, due: float, index: int) -> None:
        self.under_way -= 1
        self._enqueue(due, index)

    def lost(self, connection: _Connection) -> None:
        if self.finished.done():
            return
        if connection.index >= 0:
            self.broken += 1
            self.under_way -= 1
            self._again(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        opening = self._loop.create_task(self._connect(), name="reconnect")
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _finish_if_done(self) -> None:
        if self._is_over and not self.under_way and not self._line and not self.finished.done():
            self.finished.set_result(None)


async def _drive(load: Load, requests: list[tuple[str, bytes]]) -> tuple[Told, dict[str, float]]:
    """What became of it, and when each was to be sent."""
    asyncio.get_running_loop().set_exception_handler(give_up)
    crew = _Crew(load, requests)
    await crew.open()
    gc.freeze()
    gc.disable()
    cpu = time.process_time()
    crew.begin()
    await crew.finished
    cpu = time.process_time() - cpu
    told = Told(answers=crew.answers, refused=crew.refused, broken=crew.broken, begun=crew.begun, ended=crew.ended, cpu_seconds=cpu,
                answered=times_of(crew.answered_after), took=times_of(crew.took), late=times_of(crew.late) if load.rate else None)
    return told, {requests[index][0]: due for index, due in crew.due.items()}


def give_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A fault in here must not look like a slow service."""
    loop.default_exception_handler(context)
    os._exit(1)


def main() -> None:
    load = msgspec.json.decode(sys.stdin.readline(), type=Load)
    requests = msgspec.msgpack.decode(Path(load.requests).read_bytes(), type=list[tuple[str, bytes]])
    told, due = uvloop.run(_drive(load, requests))
    if load.stamps:
        Path(load.stamps).write_bytes(msgspec.msgpack.encode(due))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")


if __name__ == "__main__":
    main()
