"""The receiver of everything that a run sends, a process of its own: `python -m tests.bench.sink [ANSWER]`.

It says on stdout at which port it is, takes Orders on stdin and answers each with a Seen. Like the generator it does as little as
can be: it finds where a request ends, notes which task it speaks of and when it came, and answers with bytes that were made
before. ANSWER is the body of every answer; in it `{id}` becomes a number that differs for each, so that it can stand in for a
provider.
"""

import asyncio
import contextlib
import gc
import sys
import time
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop

from tests.bench.generator import give_up
from tests.bench.load import Order, Seen

_ID: Final = b"task_"
_ID_LENGTH: Final = 31
_KEPT: Final = 2_000_000


class _Ledger:
    """What came, and whom to tell when there is enough of it."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[bytes, float]] = []
        self.count = 0
        self._expected: Order | None = None
        self._cpu = time.process_time()
        self._first = self._last = 0.0

    def note(self, body: bytes) -> None:
        now = self._last = time.monotonic()
        self.count += 1
        if self.count == 1:
            self._first = now
        if self.count <= _KEPT:
            at = body.find(_ID)
            self.arrivals.append((body[at:at + _ID_LENGTH], now))
        if self._expected is not None and self.count == self._expected.expect:
            self.tell(self._expected)

    def take(self, order: Order) -> None:
        if order.expect is None:
            self.tell(order)
            return
        self.arrivals = []
        self.count, self._first, self._last = 0, 0.0, 0.0
        self._cpu = time.process_time()
        self._expected = order

    def tell(self, order: Order) -> None:
        seen = Seen(count=self.count, first=self._first, last=self._last, cpu_seconds=time.process_time() - self._cpu)
        if order.arrivals:
            Path(order.arrivals).write_bytes(msgspec.msgpack.encode([(key.decode("ascii", "replace"), at) for key, at in self.arrivals]))
        sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
        sys.stdout.flush()


class _Receiver(asyncio.Protocol):
    """One connection."""

    def __init__(self, ledger: _Ledger, answer: bytes) -> None:
        self._ledger = ledger
        self._answer = answer
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            at = self._rest[:end].lower().find(b"content-length: ")
            length = int(self._rest[at + 16:self._rest.index(b"\r", at)]) if at >= 0 else 0
            if len(self._rest) < end + 4 + length:
                return
            body, self._rest = self._rest[end + 4:end + 4 + length], self._rest[end + 4 + length:]
            self._ledger.note(body)
            assert self._transport is not None
            self._transport.write(answer_with(self._answer, self._ledger.count))


def answer_with(body: bytes, number: int) -> bytes:
    if not body:
        return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    made = body.replace(b"{id}", b"%d" % number)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(made), made)


async def _serve(answer: bytes) -> None:
    ledger = _Ledger()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(give_up)
    server = await loop.create_server(lambda: _Receiver(ledger, answer), "127.0.0.1", 0, backlog=2048)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    gc.freeze()
    gc.disable()
    while line := await orders.readline():
        ledger.take(msgspec.json.decode(line, type=Order))


def main() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(sys.argv[1].encode() if len(sys.argv) > 1 else b""))


if __name__ == "__main__":
    main()
