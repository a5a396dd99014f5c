"""Talking to a provider: what was surely not sent, what may have arrived, and what never goes along."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.errors import ConfigError, Fate, ProviderError
from relay.model import ErrorCode, TaskError, TaskStatus, Update
from relay.ports.provider import Limits, ProviderConfig, Rate
from relay.providers.answer import Answer
from relay.providers.http import Endpoint, Http, limits_for
from tests.providers.upstream import Reply, Upstream, running_upstream

pytestmark = pytest.mark.anyio

KEY = "sk-0123456789"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def connect_to(url: str | None, *, key: str | None = KEY, timeout: float = 5.0) -> Http:
    endpoint = Endpoint(name="kie", base_url=url, key=key, auth={"x-api-key": key or ""}, user_agent="relay/1", timeout=timeout)
    return Http(endpoint, clock=lambda: NOW)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as upstream:
        yield upstream


async def failure(http: Http, method: str = "POST", path: str = "/submit", **options: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await http.request(method, path, **options)
    await http.aclose()
    return caught.value


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: connecting to it goes on for ever."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in (first, second):
            client.setblocking(False)  # noqa: FBT003 -- the standard library's way
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def test_an_answer_comes_whole(upstream: Upstream) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8", "X-Cost": "1", "Retry-After": "3"}
    upstream.answer = Reply(status=418, body=b"{}", headers=headers)
    http = connect_to(upstream.url + "/base/")
    answer = await http.request("POST", "/submit", json={"a": "é"}, params={"id": "a b&c"}, headers={"accept": "image/*"})
    await http.aclose()
    assert (answer.status, answer.body, answer.content_type, answer.retry_after) == (418, b"{}", "application/json", 3.0)
    assert answer.headers["x-cost"] == "1"
    [request] = upstream.requests
    assert (request.method, request.path) == ("POST", "/base/submit?id=a+b%26c")
    assert request.body == '{"a":"é"}'.encode()
    assert {name: request.headers[name] for name in ("x-api-key", "user-agent", "accept", "accept-encoding", "content-type")} == {
        "x-api-key": KEY, "user-agent": "relay/1", "accept": "image/*", "accept-encoding": "identity", "content-type": "application/json"}


async def test_a_request_that_could_not_connect_in_time_was_not_sent() -> None:
    with deaf_port() as port:
        error = await failure(connect_to(f"http://127.0.0.1:{port}", timeout=0.2))
    assert (error.fate, error.reason) == (Fate.NOT_ACCEPTED, ErrorCode.PROVIDER_UNAVAILABLE)


async def test_a_host_that_is_no_name_was_not_reached() -> None:
    error = await failure(connect_to(f"http://{'a' * 70}.example"))
    assert error.fate is Fate.NOT_ACCEPTED


async def test_a_failed_tls_handshake_sends_nothing(upstream: Upstream) -> None:
    error = await failure(connect_to(upstream.url.replace("http://", "https://"), timeout=0.4))
    assert error.fate is Fate.NOT_ACCEPTED
    assert upstream.requests == []


async def test_a_slow_body_ends_with_the_time_of_the_whole_request(upstream: Upstream) -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    upstream.answer = drip
    error = await failure(connect_to(upstream.url, timeout=0.2))
    assert (error.fate, error.reason) == (Fate.UNKNOWN, ErrorCode.TIMEOUT)
    assert error.message == "kie did not answer within 0.2 s"


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(upstream: Upstream) -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    upstream.answer = flood
    error = await failure(connect_to(upstream.url), max_bytes=100_000)
    assert error.fate is Fate.UNKNOWN
    assert "more than 100000 bytes" in error.message


async def test_a_redirect_is_not_followed(upstream: Upstream) -> None:
    async with running_upstream() as other:
        upstream.answer = Reply(status=307, headers={"location": other.url + "/steal"})
        http = connect_to(upstream.url)
        answer = await http.request("POST", "/submit", json={})
        await http.aclose()
        assert answer.status == 307
        assert other.requests == []


async def test_cookies_and_proxies_play_no_part(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    upstream.answer = Reply(headers={"set-cookie": "session=1; Path=/"})
    http = connect_to(upstream.url)
    await http.request("GET", "/a")
    await http.request("GET", "/b")
    await http.aclose()
    assert [request.headers.get("cookie") for request in upstream.requests] == [None, None]


async def test_queries_share_a_connection_and_submissions_do_not(upstream: Upstream) -> None:
    http = connect_to(upstream.url)
    for _ in range(2):
        await http.request("GET", "/query")
    for _ in range(2):
        await http.request("POST", "/submit", json={}, fresh=True)
    await http.aclose()
    assert [request.connection for request in upstream.requests] == [1, 1, 2, 3]


async def test_a_refusal_that_comes_before_the_whole_body_was_read_is_still_read(upstream: Upstream) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(Reply(status=413, body={"msg": "too large"}).wire)
        await writer.drain()
        await reader.read(1_000_000)

    upstream.reads_bodies = False
    upstream.answer = refuse
    http = connect_to(upstream.url)
    answer = await http.request("POST", "/submit", json={"image": "x" * 200_000})
    await http.aclose()
    assert (answer.status, answer.error_text()) == (413, "too large")


async def test_cancelling_is_passed_on(upstream: Upstream) -> None:
    arrived = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()

    upstream.answer = stall
    http = connect_to(upstream.url)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(http.request("POST", "/submit", json={}), name="asking")
        await arrived.wait()
        asking.cancel()
    assert asking.cancelled()
    await http.aclose()


@pytest.mark.parametrize(("url", "key"), [(None, KEY), ("http://127.0.0.1:9", None), ("http://127.0.0.1:9", "")])
async def test_what_is_not_configured_is_refused(url: str | None, key: str | None) -> None:
    http = connect_to(url, key=key)
    assert not http.is_configured
    error = await failure(http)
    assert (error.fate, error.reason) == (Fate.REFUSED, ErrorCode.AUTHENTICATION)


@pytest.mark.parametrize("value", ["\ud800", object()], ids=["half a surrogate pair", "an object"])
async def test_what_is_no_json_is_refused(value: object) -> None:
    assert (await failure(connect_to("http://127.0.0.1:9"), json={"a": value})).fate is Fate.REFUSED


@pytest.mark.parametrize("key", ["a key", "key\r\nx-evil: 1", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_the_operators_to_mend(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connect_to("http://127.0.0.1:9", key=key)
    assert [problem.field for problem in caught.value.problems] == ["RELAY_KIE_API_KEY"]
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x.example", "x.example", "http://", "https://user:pass@x.example", "https://x.example/?a=1",
                                 "https://x.example/#a", "http://x.example:99999", "http://\0", "http://xn--a"])
def test_a_base_url_that_is_none_is_the_operators_to_mend(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connect_to(url)
    assert [problem.field for problem in caught.value.problems] == ["RELAY_KIE_BASE_URL"]


async def test_an_echoed_key_is_hidden_in_updates_and_errors(upstream: Upstream) -> None:
    upstream.answer = Reply(body={"msg": f"bad key {KEY}"})
    http = connect_to(upstream.url)

    def fail(answer: Answer) -> Update:
        return Update(status=TaskStatus.FAILED, error=TaskError(
            code=ErrorCode.PROVIDER_ERROR, message=answer.error_text(), provider_code=f"E-{KEY}"))

    def refuse(answer: Answer) -> Update:
        raise ProviderError(ErrorCode.PROVIDER_ERROR, answer.error_text(), fate=Fate.UNKNOWN, provider_code=f"E-{KEY}", retry_after=2)

    update = await http.ask(fail, "GET", "/")
    assert update.error == TaskError(code=ErrorCode.PROVIDER_ERROR, message="bad key ***", provider_code="E-***")
    with pytest.raises(ProviderError) as caught:
        await http.ask(refuse, "GET", "/")
    assert (caught.value.message, caught.value.provider_code, caught.value.retry_after) == ("bad key ***", "E-***", 2)
    await http.aclose()


def test_half_a_key_at_the_end_of_a_cut_text_is_hidden_too() -> None:
    http = connect_to("http://127.0.0.1:9")
    assert http.hide(f"{KEY} and {KEY[:8]}…") == "*** and ***…"
    assert http.hide("nothing…") == "nothing…"


def test_an_endpoint_shows_itself_without_its_key() -> None:
    endpoint = Endpoint(name="kie", base_url="http://x.example", key=KEY, auth={"x-api-key": KEY}, user_agent="relay/1", timeout=1.0)
    assert repr(endpoint) == "Endpoint('kie', 'http://x.example')"


def test_the_operators_limits_come_first() -> None:
    default = Limits(max_concurrent=24, rate=Rate(20, 10.0), queries=Rate(10, 1.0))
    assert limits_for(ProviderConfig(), default) == default
    changed = limits_for(ProviderConfig(max_concurrent=1, rate=Rate(1, 1.0)), default)
    assert changed == Limits(max_concurrent=1, rate=Rate(1, 1.0), queries=Rate(10, 1.0))
