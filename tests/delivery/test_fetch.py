"""The guarded session against receivers that misbehave, and against addresses that must not be reached."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from relay.net.fetch import FetchError, GuardedFetcher, GuardedSession, Refused, TimedOut
from relay.net.guard import Policy
from tests.delivery.reaching import OPEN, Authority, named, post
from tests.delivery.receiver import OK, SILENT, Answer, Receiver

pytestmark = pytest.mark.anyio

CLOSED = Policy(allow_http=True)
LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture
async def session() -> AsyncIterator[GuardedSession]:
    session = GuardedSession()
    yield session
    await session.close()


async def test_a_post_arrives_as_it_was_given_and_its_answer_comes_back(session: GuardedSession) -> None:
    async with Receiver(Answer(status=202, headers={"X-Twice": "first", "x-twice": "second"}, body=b"thanks")) as receiver:
        reply = await post(session, receiver.url + "?a=%2Fb&c=~%7E")
    [request] = receiver.requests
    assert (reply.status, reply.body, reply.error) == (202, b"thanks", None)
    assert (request.method, request.target, request.body) == ("POST", "/hook?a=%2Fb&c=~%7E", b"{}")
    assert request.headers["x-a"] == "b"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(("written", "looked_up", "host", "target"), [
    ("HTTP://HOOK.example:{port}/a%2Fb?c=%zz#part", "HOOK.example", "HOOK.example:{port}", "/a%2Fb?c=%zz"),
    ("http://hook.example.:{port}?a=b", "hook.example.", "hook.example:{port}", "/?a=b"),
    ("http://bücher.example:{port}/ü?q=ü", "xn--bcher-kva.example", "xn--bcher-kva.example:{port}", "/%C3%BC?q=%C3%BC"),
])
async def test_a_url_is_used_as_its_owner_wrote_it(written: str, looked_up: str, host: str, target: str) -> None:
    session = GuardedSession(lookup=named(looked_up, "127.0.0.1"))
    async with Receiver() as receiver:
        await post(session, written.format(port=receiver.port))
    [request] = receiver.requests
    assert request.target == target
    assert request.headers["host"].lower() == host.format(port=receiver.port).lower()
    await session.close()


async def test_a_plain_url_in_capitals_is_plain_all_the_same() -> None:
    session = GuardedSession(lookup=named("hook.example", "127.0.0.1"))
    async with Receiver() as receiver:
        with pytest.raises(Refused):
            await post(session, f"HTTP://hook.example:{receiver.port}/", policy=Policy((ipaddress.ip_network("10.0.0.0/8"),)))
        assert receiver.connections == 0
    await session.close()


async def test_of_a_repeated_header_the_first_counts(session: GuardedSession) -> None:
    raw = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n"
    async with Receiver(Answer(raw=raw)) as receiver:
        assert (await post(session, receiver.url)).headers["retry-after"] == "7"


async def test_posts_share_a_connection(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        for _ in range(5):
            await post(session, receiver.url)
        assert receiver.connections == 1


async def test_redirects_are_not_followed(session: GuardedSession) -> None:
    async with Receiver() as elsewhere, Receiver(Answer(status=307, headers={"location": elsewhere.url})) as receiver:
        assert (await post(session, receiver.url)).status == 307
        assert elsewhere.requests == []


async def test_cookies_are_not_kept(session: GuardedSession) -> None:
    async with Receiver(Answer(headers={"set-cookie": "a=b"})) as receiver:
        await post(session, receiver.url)
        await post(session, receiver.url)
        assert "cookie" not in receiver.requests[1].headers


async def test_no_proxy_of_the_environment_is_used(session: GuardedSession, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        await post(session, receiver.url)
        assert (len(proxy.requests), len(receiver.requests)) == (0, 1)


async def test_no_credentials_of_the_environment_are_used(
        session: GuardedSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("default login relay password hush\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with Receiver() as receiver:
        await post(session, receiver.url)
        assert "authorization" not in receiver.requests[0].headers


async def test_an_answer_is_read_to_its_limit_and_no_further(session: GuardedSession) -> None:
    async with Receiver(Answer(body=b"", after="ever")) as receiver:
        reply = await post(session, receiver.url)
        assert (reply.status, len(reply.body), reply.error) == (200, 4096, None)


async def test_an_answer_is_not_unpacked(session: GuardedSession) -> None:
    async with Receiver(Answer(headers={"content-encoding": "gzip"}, body=b"\x1f\x8bnonsense")) as receiver:
        assert (await post(session, receiver.url)).body == b"\x1f\x8bnonsense"


@pytest.mark.parametrize("answer", [
    pytest.param(SILENT, id="silence"),
    pytest.param(Answer(pieces=1, pause=0.02), id="a dripping head"),
    pytest.param(Answer(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 3, after="hang"), id="only interim answers"),
])
async def test_a_deadline_is_for_the_whole_exchange(session: GuardedSession, answer: Answer) -> None:
    async with Receiver(answer) as receiver:
        started = time.monotonic()
        with pytest.raises(TimedOut, match=r"^timed out after 0\.3 s$"):
            await post(session, receiver.url, timeout=0.3)
        assert time.monotonic() - started < 1


async def test_a_dripping_body_ends_at_the_deadline_with_what_came(session: GuardedSession) -> None:
    async with Receiver(Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\nslow", after="hang")) as receiver:
        reply = await post(session, receiver.url, timeout=0.3)
    assert (reply.status, reply.body, reply.error) == (200, b"slow", "timed out after 0.3 s in the middle of the answer")


async def test_an_answer_that_breaks_off_says_so(session: GuardedSession) -> None:
    async with Receiver(Answer(body=b"half", claims=100, after="close")) as receiver:
        reply = await post(session, receiver.url)
    assert (reply.status, reply.body, reply.error) == (200, b"half", "the connection was closed in the middle of the answer")


@pytest.mark.parametrize(("raw", "words"), [
    pytest.param(b"", "the connection was closed", id="nothing"),
    pytest.param(b"HTTP/1.1 20", "the connection was closed", id="half a status line"),
    pytest.param(b"SSH-2.0-OpenSSH_9.7\r\n\r\n", "the answer is not valid HTTP", id="another protocol"),
    pytest.param(b"HTTP/1.1 two-hundred OK\r\n\r\n", "the answer is not valid HTTP", id="a status in words"),
    pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "the answer is not valid HTTP", id="a header without a colon"),
    pytest.param(b"HTTP/1.1 200 OK\r\na: " + b"x" * 100_000 + b"\r\n\r\n", "the answer is not valid HTTP", id="a huge header"),
    pytest.param(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000 + b"\r\n", "the answer is not valid HTTP", id="many headers"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "the answer is not valid HTTP", id="a negative length"),
])
async def test_an_answer_that_is_none_is_an_error_in_words(session: GuardedSession, raw: bytes, words: str) -> None:
    async with Receiver(Answer(raw=raw, after="close")) as receiver:
        with pytest.raises(FetchError) as caught:
            await post(session, receiver.url)
    assert caught.value.message.startswith(words)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


async def test_a_body_of_bad_chunks_is_an_error_in_words(session: GuardedSession) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"
    async with Receiver(Answer(raw=raw, after="close")) as receiver:
        try:
            reply = await post(session, receiver.url)
        except FetchError as exc:
            assert exc.message.startswith("the answer is not valid HTTP")  # noqa: PT017 -- both are right: it depends on how the bytes arrive
        else:
            assert reply.error


async def test_nobody_listening_is_an_error_in_words(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        url = receiver.url
    with pytest.raises(FetchError, match=r"^connection refused$"):
        await post(session, url)


async def test_an_unknown_name_is_an_error_in_words() -> None:
    def look_up(host: str, port: int) -> list[str]:  # noqa: ARG001 -- the shape of a Lookup
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    session = GuardedSession(lookup=look_up)
    with pytest.raises(FetchError, match=r"^the name nobody\.example was not found$"):
        await post(session, "https://nobody.example/")
    await session.close()


async def test_a_header_that_cannot_be_sent_is_an_error_in_words(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        with pytest.raises(FetchError, match="could not be made"):
            await session.post(receiver.url, headers={"x": "a\r\nb: c"}, body=b"", timeout=1, max_answer_bytes=1, policy=OPEN)
        assert receiver.requests == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(session: GuardedSession, tmp_path: Path) -> None:
    async with Receiver(tls=Authority(tmp_path).vouch_for(LOOPBACK)) as receiver:
        with pytest.raises(FetchError, match=r"^TLS certificate refused: unable to get local issuer certificate"):
            await post(session, receiver.url)
        assert receiver.requests == []


async def test_tls_to_a_server_without_it_is_an_error_in_words(session: GuardedSession) -> None:
    async def answer_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer_plainly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FetchError, match=r"^TLS failed: "):
            await post(session, f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://hook.example:{port}/", "http://[::ffff:127.0.0.1]:{port}/"])
async def test_a_refused_address_gets_no_packet(url: str) -> None:
    session = GuardedSession(lookup=named("hook.example", "127.0.0.1"))
    async with Receiver() as receiver:
        with pytest.raises(Refused, match=r"127\.0\.0\.1\)? is a loopback address"):
            await post(session, url.format(port=receiver.port), policy=CLOSED)
        assert receiver.connections == 0
    await session.close()


async def test_of_a_name_with_several_addresses_only_the_open_ones_are_tried() -> None:
    allow_one = Policy((ipaddress.ip_network("127.0.0.1/32"),))
    session = GuardedSession(lookup=named("hook.example", "127.0.0.2", "10.0.0.1", "127.0.0.1"))
    async with Receiver() as receiver:
        assert (await post(session, f"http://hook.example:{receiver.port}/", policy=allow_one)).status == 200
    await session.close()


async def test_a_name_is_judged_again_for_every_connection() -> None:
    """A name that first leads to an open address and then to a closed one (DNS rebinding)."""
    allow_one = Policy((ipaddress.ip_network("127.0.0.1/32"),))
    addresses = ["127.0.0.1"]
    session = GuardedSession(lookup=lambda _host, _port: list(addresses))
    async with Receiver(Answer(after="close", headers={"connection": "close"})) as first, Receiver(host="127.0.0.2") as second:
        assert (await post(session, f"http://one.example:{first.port}/", policy=allow_one)).status == 200
        addresses[:] = ["127.0.0.2"]
        with pytest.raises(Refused):
            await post(session, f"http://one.example:{second.port}/", policy=allow_one)
        assert second.connections == 0
    await session.close()


async def test_plain_http_to_a_name_is_judged_by_where_it_leads() -> None:
    session = GuardedSession(lookup=named("hook.example", "127.0.0.1"))
    elsewhere = Policy((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("127.0.0.9/32")))
    async with Receiver() as receiver:
        assert (await post(session, f"http://hook.example:{receiver.port}/")).status == 200
        with pytest.raises(Refused):
            await post(session, f"http://hook.example:{receiver.port}/", policy=elsewhere)
    await session.close()


async def test_a_connection_is_not_used_under_another_policy() -> None:
    session = GuardedSession()
    async with Receiver() as receiver:
        await post(session, receiver.url)
        with pytest.raises(Refused):
            await post(session, receiver.url, policy=CLOSED)
        assert len(receiver.requests) == 1
    await session.close()


async def test_many_policies_do_not_pile_up_connections() -> None:
    session = GuardedSession()
    async with Receiver() as receiver:
        for last in range(100):
            policy = Policy((ipaddress.ip_network("127.0.0.1/32"), ipaddress.ip_network(f"10.0.0.{last}/32")))
            assert (await post(session, receiver.url, policy=policy)).status == 200
    await session.close()


async def test_a_url_that_cannot_be_right_is_refused_before_anything_else(session: GuardedSession) -> None:
    with pytest.raises(Refused, match=r"^the URL must begin with https://$"):
        await post(session, "ftp://example.com/")


async def test_a_cancelled_post_lets_go_of_its_connection(session: GuardedSession) -> None:
    async with Receiver(SILENT, OK) as receiver:
        waiting = asyncio.get_running_loop().create_task(post(session, receiver.url), name="post")
        await receiver.wait_for_requests(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await post(session, receiver.url)).status == 200
        assert receiver.connections == 2


async def test_a_picture_is_fetched(session: GuardedSession) -> None:
    async with Receiver(Answer(body=PNG, headers={"content-type": "text/plain"})) as receiver:
        picture = await GuardedFetcher(session, OPEN).fetch(receiver.url, max_bytes=100, timeout=5)
    assert (picture.data, picture.content_type, picture.url) == (PNG, "image/png", receiver.url)
    assert receiver.requests[0].method == "GET"


@pytest.mark.parametrize(("answer", "words"), [
    pytest.param(Answer(body=PNG + b"\0" * 100), "has more than 100 bytes", id="too large"),
    pytest.param(Answer(body=PNG, after="ever"), "has more than 100 bytes", id="endless"),
    pytest.param(Answer(status=404), "answered 404", id="absent"),
    pytest.param(Answer(status=302, headers={"location": "/elsewhere"}), "answered 302", id="a redirect"),
    pytest.param(Answer(body=b"<html>"), "is no picture", id="a page"),
    pytest.param(Answer(body=PNG[:20], claims=48, after="close"), "the connection was closed", id="half of it"),
    pytest.param(SILENT, "timed out after 0.3 s", id="silence"),
])
async def test_what_is_no_picture_is_refused_in_words(session: GuardedSession, answer: Answer, words: str) -> None:
    async with Receiver(answer) as receiver:
        with pytest.raises(ValueError, match=words):
            await GuardedFetcher(session, OPEN).fetch(receiver.url, max_bytes=100, timeout=0.3)


async def test_a_picture_at_a_private_address_is_not_asked_for(session: GuardedSession) -> None:
    async with Receiver(Answer(body=PNG)) as receiver:
        with pytest.raises(ValueError, match="loopback"):
            await GuardedFetcher(session, CLOSED).fetch(receiver.url, max_bytes=100, timeout=1)
        assert receiver.connections == 0
