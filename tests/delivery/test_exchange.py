"""Our own HTTP/1.1: what goes out can be read in one way only, what comes in is bounded, and no connection is left lying about or used
again when it should not be. On the loop that Relay serves with as on asyncio's own, since their transports differ."""

import asyncio
import contextlib
import gc
import ipaddress
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from msgspec import Struct

from relay.net import pool
from relay.net.fetch import FetchError, GuardedSession
from relay.net.guard import Policy
from tests.delivery.reaching import OPEN, Authority, black_hole, named, open_files, post, until
from tests.delivery.receiver import OK, SILENT, Answer, Receiver

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LENGTH_2 = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(params=["asyncio", pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def session(anyio_backend: Any) -> AsyncIterator[GuardedSession]:  # noqa: ARG001 -- the plugin wants it
    session = GuardedSession()
    yield session
    await session.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(handle: Handler) -> AsyncIterator[str]:
    """A server that is nothing but this; its address."""
    writers: list[asyncio.StreamWriter] = []

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handle(reader, writer)

    server = await asyncio.start_server(on_connect, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


class TestRequest:
    """What goes out."""

    @pytest.mark.parametrize("headers", [
        {"x": "a\nb"}, {"x": "a\rb"}, {"x": "a\0b"}, {"x": "a\x7f"}, {"x": "a\x0bb"}, {"x": "\ud80d"}, {"x\r\ny": "a"}, {"x y": "a"},
        {"x:y": "a"}, {"": "a"}, {"content-length ": "0"}, {"transfer-encoding\t": "chunked"}, {"ü": "a"},
    ], ids=ascii)
    async def test_a_header_that_could_be_read_in_two_ways_is_not_sent(self, session: GuardedSession, headers: dict[str, str]) -> None:
        async with Receiver() as receiver:
            with pytest.raises(FetchError, match=r"^the request could not be made: a header"):
                await session.post(receiver.url, headers=headers, body=b"", timeout=5, max_answer_bytes=1, policy=OPEN)
            assert receiver.connections == 0

    async def test_how_it_is_framed_is_not_for_the_owner_to_say(self, session: GuardedSession) -> None:
        theirs = {"Content-Length": "0", "TRANSFER-ENCODING": "chunked", "Host": "elsewhere.example", "Connection": "close"}
        async with Receiver() as receiver:
            await session.post(receiver.url, headers=theirs, body=b"whole", timeout=5, max_answer_bytes=1, policy=OPEN)
        [request] = receiver.requests
        assert (request.body, request.headers["content-length"], request.headers["host"]) == (b"whole", "5", f"127.0.0.1:{receiver.port}")
        assert not {"transfer-encoding", "connection"} & set(request.headers)

    async def test_what_is_not_ascii_in_a_value_goes_as_utf_8(self, session: GuardedSession) -> None:
        async with Receiver() as receiver:
            await session.post(receiver.url, headers={"x": "ü\u2028\x85ü"}, body=b"", timeout=5, max_answer_bytes=1, policy=OPEN)
        assert receiver.requests[0].headers["x"].encode("latin-1") == "ü\u2028\x85ü".encode()

    async def test_an_address_of_version_6_stands_in_brackets(self, session: GuardedSession) -> None:
        async with Receiver(host="::1") as receiver:
            reply = await post(session, f"http://[::1]:{receiver.port}/", policy=Policy((ipaddress.ip_network("::1/128"),)))
        assert reply.status == 200
        assert receiver.requests[0].headers["host"] == f"[::1]:{receiver.port}"


class TestAnswer:
    """What comes in."""

    @pytest.mark.parametrize(("raw", "status", "body"), [
        pytest.param(CONTINUE + b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n" + LENGTH_2, 200, b"ok", id="after interim answers"),
        pytest.param(CHUNKED + b"1;a=b\r\no\r\n1\r\nk\r\n0\r\nretry-after: 9\r\n\r\n", 200, b"ok", id="chunks, an extension, a trailer"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="without a body"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, b"", id="without a body, and says so"),
        pytest.param(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", id="old, but kept"),
        pytest.param(b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", id="a status without a phrase"),
    ])
    async def test_after_one_that_ends_where_it_says_the_connection_is_used_again(
            self, session: GuardedSession, raw: bytes, status: int, body: bytes) -> None:
        async with Receiver(Answer(raw=raw), OK) as receiver:
            reply = await post(session, receiver.url)
            assert (reply.status, reply.body, reply.error, "retry-after" in reply.headers) == (status, body, None, False)
            assert (await post(session, receiver.url)).body == b"ok"
            assert receiver.connections == 1

    @pytest.mark.parametrize("raw", [
        pytest.param(LENGTH_2 + b"x", id="a byte too many"),
        pytest.param(LENGTH_2 + b"HTTP/1.1 200 OK\r\n", id="half of another answer"),
        pytest.param(LENGTH_2 + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", id="another answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", id="it will close"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", id="an old one"),
        pytest.param(b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok", id="a version that has no such form"),
        pytest.param(b"ICE/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", id="a cousin"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", id="another protocol, unnamed"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\n", id="no body, of four bytes"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", id="no body, in chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + b"x" * 5000, id="more than was asked for"),
    ])
    async def test_after_any_other_it_is_not(self, session: GuardedSession, raw: bytes) -> None:
        async with Receiver(Answer(raw=raw), OK) as receiver:
            assert (await post(session, receiver.url)).error is None
            assert (await post(session, receiver.url)).body == b"ok"
            assert receiver.connections == 2

    @pytest.mark.parametrize("raw", [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok", id="a coding without an end"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nok", id="an old one"),
    ])
    async def test_one_without_an_end_of_its_own_ends_with_the_connection(self, session: GuardedSession, raw: bytes) -> None:
        async with Receiver(Answer(raw=raw, after="close")) as receiver:
            reply = await post(session, receiver.url)
        assert (reply.status, reply.body, reply.error) == (200, b"ok", None)

    @pytest.mark.parametrize("raw", [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk", b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 2\r\n\r\nok",
        b"<html>ok</html>\r\n",        b"HTTP/1.1 000 OK\r\ncontent-length: 2\r\n\r\nok", b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    ], ids=["two ways to end", "two lengths", "a space before the colon", "bare line feeds", "a folded header", "no head", "status 0",
            "status 99"])
    async def test_one_that_could_be_read_in_two_ways_is_none(self, session: GuardedSession, raw: bytes) -> None:
        async with Receiver(Answer(raw=raw, after="hang")) as receiver:
            with pytest.raises(FetchError, match=r"^the answer is not valid HTTP"):
                await post(session, receiver.url)

    @pytest.mark.parametrize(("raw", "after"), [
        pytest.param(b"HTTP/1.1 200 ", "ever", id="phrase"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", "ever", id="name of a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\na: ", "ever", id="header"),
        pytest.param(CONTINUE * 4000, "hang", id="row of interim answers"),
    ])
    async def test_an_endless_head_is_given_up_long_before_the_deadline(self, session: GuardedSession, raw: bytes, after: str) -> None:
        async with Receiver(Answer(raw=raw, after=after)) as receiver:
            with pytest.raises(FetchError, match=r"^the answer is not valid HTTP: it has more than 32 KiB on end that are no body$"):
                await post(session, receiver.url, timeout=20)
            await receiver.wait_until(lambda receiver: receiver.at_once == 0 or after == "hang")

    @pytest.mark.parametrize("more", [b"1;", b"1\r\na\r\n0\r\nx: "], ids=["extension", "trailer"])
    async def test_neither_a_chunks_extension_nor_a_trailer_goes_on_for_ever(self, session: GuardedSession, more: bytes) -> None:
        async with Receiver(Answer(raw=CHUNKED + more, after="ever")) as receiver:
            reply = await post(session, receiver.url, timeout=20)
        assert reply.status == 200
        assert str(reply.error).startswith("the answer is not valid HTTP: it has more than 32 KiB")

    async def test_a_long_body_in_small_chunks_is_read_all_the_same(self, session: GuardedSession) -> None:
        raw = CHUNKED + b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n"
        async with Receiver(Answer(raw=raw)) as receiver:
            reply = await post(session, receiver.url, limit=1_000_000, timeout=20)
        assert (len(reply.body), reply.error) == (200_000, None)

    async def test_one_that_comes_before_all_was_sent_counts_and_ends_the_connection(self, session: GuardedSession) -> None:
        connections = 0

        async def answer_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")

        async with served(answer_at_once) as address:
            assert (await post(session, f"http://{address}/", body=b"x" * 32_000_000)).status == 413
            assert (await post(session, f"http://{address}/")).status == 413
        assert connections == 2

    async def test_what_comes_unasked_between_two_posts_answers_neither(
            self, session: GuardedSession, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool, "KEEP_ALIVE_SECONDS", 3600.0)
        is_closed, connections = asyncio.Event(), 0

        async def answer_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(LENGTH_2)
            if connections == 1:
                await may_go_on.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                is_closed.set()

        may_go_on = asyncio.Event()
        async with served(answer_twice) as address:
            assert (await post(session, f"http://{address}/")).body == b"ok"
            may_go_on.set()
            await until(is_closed.is_set)
            assert (await post(session, f"http://{address}/")).body == b"ok"
        assert connections == 2


class Phase(Struct):
    """A post that is stuck, and the session that it is stuck in."""
    session: GuardedSession
    stuck: asyncio.Task[Any]


async def _stuck(session: GuardedSession, url: str, is_there: Callable[[], bool], body: bytes = b"{}") -> Phase:
    task = asyncio.get_running_loop().create_task(post(session, url, timeout=60, body=body), name="stuck post")
    await until(is_there)
    return Phase(session, task)


@contextlib.asynccontextmanager
async def looking_up() -> AsyncIterator[Phase]:
    has_begun, may_end = threading.Event(), threading.Event()

    def look_up(_host: str, _port: int) -> list[str]:
        has_begun.set()
        may_end.wait(60)
        return ["127.0.0.1"]

    try:
        yield await _stuck(GuardedSession(lookup=look_up), "http://hook.example/", has_begun.is_set)
    finally:
        may_end.set()


@contextlib.asynccontextmanager
async def connecting() -> AsyncIterator[Phase]:
    with black_hole() as port:
        before = open_files()
        yield await _stuck(GuardedSession(), f"http://127.0.0.1:{port}/", lambda: open_files() > before)


@contextlib.asynccontextmanager
async def never_read(scheme: str, body: bytes) -> AsyncIterator[Phase]:
    arrived = asyncio.Event()

    async def take_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        arrived.set()

    async with served(take_nothing) as address:
        yield await _stuck(GuardedSession(), f"{scheme}://{address}/", arrived.is_set, body)


@contextlib.asynccontextmanager
async def waiting() -> AsyncIterator[Phase]:
    async with Receiver(SILENT) as receiver:
        yield await _stuck(GuardedSession(), receiver.url, lambda: bool(receiver.requests))


PHASES = pytest.mark.parametrize("phase", [
    pytest.param(looking_up, id="look-up"), pytest.param(connecting, id="connect"),
    pytest.param(lambda: never_read("https", b""), id="handshake"), pytest.param(lambda: never_read("http", b"x" * 32_000_000), id="write"),
    pytest.param(waiting, id="wait"),
])
Begin = Callable[[], contextlib.AbstractAsyncContextManager[Phase]]


class TestEnd:
    """However an exchange ends, its socket ends with it."""

    @PHASES
    async def test_a_cancelled_one_leaves_no_socket(self, phase: Begin) -> None:
        await _loop_is_warm()
        before = open_files()
        async with phase() as begun:
            begun.stuck.cancel()
            with pytest.raises(asyncio.CancelledError):
                await begun.stuck
        await until(lambda: open_files() <= before)
        await begun.session.close()

    @PHASES
    async def test_one_under_way_fails_when_the_session_is_closed(self, phase: Begin) -> None:
        await _loop_is_warm()
        before = open_files()
        async with phase() as begun:
            await begun.session.close()
            async with asyncio.timeout(10):
                with pytest.raises(FetchError, match=r"^the connection was closed$"):
                    await begun.stuck
        await until(lambda: open_files() <= before)

    async def test_none_begins_after_the_close(self) -> None:
        session = GuardedSession()
        async with Receiver() as receiver:
            await post(session, receiver.url)
            await session.close()
            for policy in (OPEN, Policy((*OPEN.allow_cidrs, ipaddress.ip_network("10.0.0.0/8")))):
                with pytest.raises(FetchError, match=r"^the connection was closed$"):
                    await post(session, receiver.url, policy=policy)
            assert receiver.connections == 1

    async def test_a_connection_that_the_server_ended_is_not_used_again(self, session: GuardedSession) -> None:
        async with Receiver(Answer(after="close"), OK) as receiver:
            before = open_files()
            await post(session, receiver.url)
            await until(lambda: open_files() <= before)
            assert (await post(session, receiver.url)).status == 200

    async def test_one_that_nobody_uses_is_ended_by_and_by(self, session: GuardedSession, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool, "KEEP_ALIVE_SECONDS", 0.05)
        async with Receiver() as receiver:
            before = open_files()
            await post(session, receiver.url)
            await until(lambda: open_files() <= before)

    async def test_a_closed_session_is_kept_by_nothing(self) -> None:
        session = GuardedSession()
        async with Receiver() as receiver:
            await asyncio.gather(*(post(session, receiver.url) for _ in range(3)))
            await session.close()
            known = weakref.ref(session._pools.popitem()[1])  # noqa: SLF001 -- what the timer of the sweep holds
            del session
            await until(lambda: receiver.at_once == 0)
            gc.collect()
            assert known() is None


async def _loop_is_warm() -> None:
    """A loop opens files of its own when it first needs them."""
    for _ in range(2):
        before = open_files()
        session = GuardedSession(lookup=named("hook.example", "127.0.0.1"))
        async with Receiver() as receiver:
            await post(session, f"http://hook.example:{receiver.port}/")
            await session.close()
            await receiver.wait_until(lambda receiver: not receiver.at_once)
        await asyncio.sleep(0.02)  # the last socket of the receiver
    await until(lambda: open_files() <= before)


async def test_an_address_that_swallows_all_does_not_hold_up_the_next() -> None:
    session = GuardedSession(lookup=named("hook.example", "127.0.0.2", "127.0.0.1"))
    async with Receiver() as receiver:
        with black_hole("127.0.0.2", receiver.port):
            assert (await post(session, f"http://hook.example:{receiver.port}/", timeout=20)).error is None
    await session.close()


class TestTls:
    """Under a certificate that somebody vouches for."""

    @pytest.fixture
    def authority(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
        made = Authority(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(made.pem))
        return made

    @pytest.mark.parametrize("written", ["hook.example", "hook.example."])
    async def test_a_name_is_told_and_the_connection_kept(self, authority: Authority, written: str) -> None:
        told: list[str | None] = []
        context = authority.vouch_for(x509.DNSName("hook.example"))
        context.sni_callback = lambda _socket, name, _context: told.append(name)
        session = GuardedSession(lookup=named(written, "127.0.0.1"))
        async with Receiver(tls=context) as receiver:
            for _ in range(3):
                assert (await post(session, f"https://{written}:{receiver.port}/")).status == 200
            assert (receiver.connections, told) == (1, ["hook.example"])
        await session.close()

    async def test_an_address_may_have_one_too(self, authority: Authority) -> None:
        session = GuardedSession()
        async with Receiver(tls=authority.vouch_for(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))) as receiver:
            assert (await post(session, receiver.url)).status == 200
        await session.close()

    async def test_one_for_another_name_is_refused(self, authority: Authority) -> None:
        session = GuardedSession(lookup=named("hook.example", "127.0.0.1"))
        async with Receiver(tls=authority.vouch_for(x509.DNSName("other.example"))) as receiver:
            with pytest.raises(FetchError, match=r"^TLS certificate refused: Hostname mismatch"):
                await post(session, f"https://hook.example:{receiver.port}/")
            assert receiver.requests == []
        await session.close()
