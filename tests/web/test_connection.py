"""The server's connections: an answer leaves by one system call, and nothing that is to leave waits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.cli.connection import Connection
from relay.cli.server import Server, bind, port_of
from relay.cli.together import Together
from relay.web.body import IS_WHOLE, read_bytes
from tests.loops import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

GET: Final = b"GET / HTTP/1.1\r\nhost: relay\r\n\r\n"
POST: Final = b"POST / HTTP/1.1\r\nhost: relay\r\ncontent-length: %d\r\n\r\n"


class Noted(Together):
    """A transport that notes each call that sends something; what the service's own wrapper is put around."""

    sent: list[bytes]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))
        self._transport.write(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))


class Service:
    """An application behind the product's own server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: list[bytes] = []
        self.ended: list[asyncio.Event] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> bytes:
        """All that comes until the server closes."""
        reader, writer = await self.connect()
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[Service]:
    started = asyncio.Event()
    with bind("127.0.0.1", 0) as listener:
        service = Service(port_of(listener))

        class Watched(Connection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                noted = Noted(cast("asyncio.Transport", transport), self.loop)
                noted.sent = service.sent
                super().connection_made(noted)

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                for ended in service.ended:
                    ended.set()

        server = Server(app, grace=2, on_start=started.set, on_stop=lambda: None)
        server.config.http = Watched
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]), name="server")
            await started.wait()
            yield service
            server.stop()


def closing(work: Callable[[Scope, Receive, Send], Awaitable[None]], *headers: tuple[bytes, bytes]) -> ASGIApp:
    """Sends the head of an answer that ends with its connection, and then does `work`."""
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close"), *headers]})
        await work(scope, receive, send)

    return app


async def answer_hello(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"hello")(scope, receive, send)


async def test_an_answer_leaves_by_one_call() -> None:
    async with serving(answer_hello) as service:
        reader, writer = await service.connect()
        for number in (1, 2, 3):
            writer.write(GET)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert len(service.sent) == number
        writer.close()


@pytest.mark.parametrize(("asked", "end"), [
    (b"HEAD / HTTP/1.0\r\n\r\n", b"\r\n\r\n"), (b"GET / HTTP/1.0\r\n\r\n", b"hello"), (b"nonsense\r\n\r\n", b"received."),
], ids=["head", "old", "none"])
async def test_the_last_answer_is_whole_before_the_connection_is_closed(asked: bytes, end: bytes) -> None:
    async with serving(answer_hello) as service:
        answer = await service.ask(asked)
        assert answer == b"".join(service.sent)
        assert answer.startswith(b"HTTP/1.1 ")
        assert answer.endswith(end)


async def test_what_is_sent_by_itself_goes_out_by_itself() -> None:
    going_on = asyncio.Queue[None]()

    async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
        for part in (b"one", b"two", b""):
            await going_on.get()
            await send({"type": "http.response.body", "body": part, "more_body": bool(part)})

    async with serving(closing(stream)) as service:
        reader, writer = await service.connect()
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")  # nothing of the body is there to bring it along
        for part in (b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
            going_on.put_nowait(None)
            assert await reader.readexactly(len(part)) == part
        assert await reader.read() == b""
        writer.close()


async def test_parts_that_are_sent_at_once_arrive_in_order() -> None:
    parts = [bytes([number]) * size for number, size in enumerate([1, 7, 70_000, 2, 0, 3_000_000, 5])]

    async def pour(_scope: Scope, _receive: Receive, send: Send) -> None:
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    length = str(sum(map(len, parts))).encode()
    async with serving(closing(pour, (b"content-length", length))) as service:
        assert (await service.ask(GET)).partition(b"\r\n\r\n")[2] == b"".join(parts)


async def test_a_client_that_is_gone_before_the_head_is_sent_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gone, sent = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await gone.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        sent.set()

    async with serving(app) as service:
        service.ended.append(gone)
        _, writer = await service.connect()
        writer.write(GET)
        await writer.drain()
        writer.transport.abort()
        await sent.wait()
        assert service.sent == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def tell_of_body(scope: Scope, receive: Receive, send: Send) -> None:
    is_whole = IS_WHOLE in scope
    first = await receive()
    told = f"{is_whole} {len(first['body'])} {first['more_body']};"
    await Response(told)(scope, receive, send)


@pytest.mark.parametrize("size", [0, 1, 100, 70_000])
async def test_of_a_request_that_is_all_there_the_first_message_brings_the_whole_body(size: int) -> None:
    """What read_whole rests on: uvicorn has to start an application after it has read what came together."""
    async with serving(tell_of_body) as service:
        reader, writer = await service.connect()
        writer.write((POST % size + b"x" * size) * 2)  # the second one waits for the first to be answered
        told = {(await reader.readuntil(b";")).rpartition(b"\r\n")[2].decode() for _ in range(2)}
        writer.close()
        assert f"True {size} False;" in told
        assert told <= {f"True {size} False;", *(f"False {part} True;" for part in range(size))}


async def test_of_a_request_that_is_not_all_there_nothing_is_said() -> None:
    async with serving(tell_of_body) as service:
        reader, writer = await service.connect()
        writer.write(POST % 5 + b"he")
        assert (await reader.readuntil(b";")).endswith(b"False 2 True;")
        writer.close()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(await read_bytes(Request(scope, receive), 1_000_000))(scope, receive, send)


@pytest.mark.parametrize("pieces", [(b"hello",), (b"he", b"llo"), (b"", b"hello"), (b"h", b"e", b"l", b"l", b"o")], ids=len)
async def test_a_body_is_read_whole_however_it_comes(pieces: tuple[bytes, ...]) -> None:
    async with serving(echo) as service:
        reader, writer = await service.connect()
        writer.write(POST % 5 + pieces[0])
        for piece in pieces[1:]:
            await writer.drain()
            for _ in range(20):
                await asyncio.sleep(0)  # each may arrive by itself, or not
            writer.write(piece)
        assert (await reader.readuntil(b"hello")).endswith(b"\r\n\r\nhello")
        writer.close()


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async with serving(echo) as service:
        reader, writer = await service.connect()
        writer.write(POST.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n") % 5)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
