"""One connection, over which one exchange of HTTP/1.1 goes at a time: bytes out, an answer in, and no more of it than was asked for.

Deliveries are what Relay does most, and a general client takes three times as long over each as this does: it builds objects that
nobody here reads. The parser is httptools, which is Node's own.

What a stranger answers is bounded: 32 KiB of head, interim answers (1xx) and all, which are passed over; as much of the body as was
asked for; and no more than 32 KiB on end of what is neither, which the parser would gather without saying so. A connection is used again
only if the answer ended where it said it would, and nothing came behind it.
"""

import asyncio
import functools
import select
from collections.abc import Iterator, Mapping
from typing import Final, cast

import httptools
from msgspec import Struct

LARGEST_HEAD: Final = 32 * 1024
_NO_BODY: Final = frozenset({101, 204})


class Broken(Exception):
    """The connection ended before the answer did."""


class NotHttp(Exception):
    """What came is no answer; the message says why."""


class Overdue(Exception):
    """Its time was over before the answer had ended."""


class Headers(Mapping[str, str]):
    """As they came, read when somebody asks: of most answers nobody does. Names are lower case; of repeated headers the first."""

    def __init__(self, came: list[tuple[bytes, bytes]]) -> None:
        self._came = came

    @functools.cached_property
    def _read(self) -> dict[str, str]:
        return {name.lower().decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
                for name, value in reversed(self._came)}

    def __getitem__(self, name: str) -> str:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


class Answer(Struct):
    """As much of an answer as has come."""

    status: int
    headers: Headers
    body: bytearray


class Connection(asyncio.Protocol):
    """`exchange` may be called again once it has returned, if `is_reusable`."""

    def __init__(self) -> None:
        self.is_open = False
        self.is_reusable = False
        self.answer: Answer | None = None  # of the exchange under way, from the end of its head on
        self._transport: asyncio.Transport | None = None
        self._kernel: select.poll | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._limit = 0
        self._head: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._barren_bytes = 0  # that came since the last piece of a body

    async def exchange(self, request: bytes, limit: int) -> Answer:
        """Send `request` and read its answer, of its body at most `limit` bytes. Raises Broken, NotHttp, Overdue; what has come by then, or
        when it is cancelled, stands in `answer`."""
        self.is_reusable = False
        self.answer = None
        if self._transport is None or not self.is_open:
            raise Broken
        self._limit = limit
        self._head, self._head_bytes, self._barren_bytes = [], 0, 0
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._parser = self._waiter = None

    def expire(self) -> None:
        """The time of the exchange under way is over."""
        self._fail(Overdue())

    def is_quiet(self) -> bool:
        """Whether nothing has come that was not asked for, not even to the kernel."""
        return self._kernel is not None and not self._kernel.poll(0)

    def close(self) -> None:
        """At once: what was not sent yet is thrown away, and an exchange under way fails."""
        self.is_open = self.is_reusable = False
        self._fail(Broken())
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # a stream is what was asked for; uvloop's is no asyncio.Transport
        self._kernel = select.poll()
        self._kernel.register(transport.get_extra_info("socket"), select.POLLIN)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()  # nothing was asked
            return
        self._barren_bytes += len(data)
        try:
            self._feed(self._parser, data)
        except NotHttp as exc:
            self.is_reusable = False
            self._fail(exc)
        if self.answer is not None and len(self.answer.body) >= self._limit:
            self._finish()

    def _feed(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish()
        except httptools.HttpParserError as exc:
            raise exc.__context__ if isinstance(exc.__context__, NotHttp) else NotHttp(str(exc)) from exc
        if self._barren_bytes > LARGEST_HEAD:
            raise NotHttp(f"it has more than {LARGEST_HEAD // 1024} KiB on end that are no body")

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = self.is_reusable = False
        if exc is None and self._waiter is not None and self.answer is not None and _ends_with_connection(self.answer.headers):
            self._finish()
        self._fail(exc if isinstance(exc, OSError) else Broken())

    def on_message_begin(self) -> None:
        if self.answer is not None:
            self.is_reusable = False  # more has come than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.append((name, value))
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > LARGEST_HEAD:
            raise NotHttp(f"its head has more than {LARGEST_HEAD // 1024} KiB")

    def on_headers_complete(self) -> None:
        assert self._parser is not None  # noqa: S101 -- it is what calls this
        status = self._parser.get_status_code()
        if status < 100:
            raise NotHttp(f"its status is {status}")
        if self.answer is not None or (status < 200 and status != 101):
            self._head.clear()
            return
        self.answer = Answer(status, Headers(self._head), bytearray())
        self._head = []  # what comes behind the body is none of them

    def on_body(self, data: bytes) -> None:
        self._barren_bytes = 0
        if self.answer is not None:
            self.answer.body += data

    def on_message_complete(self) -> None:
        if self.answer is None or self._waiter is None or self._waiter.done():
            return
        assert self._parser is not None  # noqa: S101 -- it is what calls this
        self.is_reusable = (
            self.is_open and self._parser.should_keep_alive() and self._is_sent() and not _promises_more(self.answer))
        self._finish()

    def _is_sent(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def _finish(self) -> None:
        if self.answer is not None and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self.answer)

    def _fail(self, exc: BaseException) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc)


def _ends_with_connection(headers: Headers) -> bool:
    """Whether nothing else says where the body ends."""
    return "content-length" not in headers and not headers.get("transfer-encoding", "").rstrip().lower().endswith("chunked")


def _promises_more(answer: Answer) -> bool:
    """Whether bytes may follow that are no part of this answer: another protocol, or a body where none belongs."""
    if answer.status not in _NO_BODY:
        return False
    return answer.status == 101 or answer.headers.get("content-length", "0") != "0" or "transfer-encoding" in answer.headers
