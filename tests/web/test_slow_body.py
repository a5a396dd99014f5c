"""Bodies that come slowly, half, or not at all: nothing of them is stored, and the service goes on."""

import asyncio
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from relay.errors import Malformed, TooLarge
from relay.web import body
from relay.web.body import IS_WHOLE, read_bytes
from tests.e2e.harness import ADMIN_KEY
from tests.web.conftest import House, read_json

pytestmark = pytest.mark.anyio

HEAD = (f"POST /api/v1/tasks HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {ADMIN_KEY}\r\nX-Relay-Account: %s\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n")


def request_of(chunks: Iterator[bytes], *, pause: float = 0.0, headers: list[tuple[bytes, bytes]] | None = None) -> Request:
    """A request that brings these chunks, one after each pause, and then nothing more, not even its end."""

    async def receive() -> Message:
        await asyncio.sleep(pause)
        for chunk in chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http", "method": "POST", "headers": headers or []}, receive)


async def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_PATIENCE", 0.02)
    with pytest.raises(Malformed, match="did not arrive"):
        await read_bytes(request_of(iter([b"{"])), 100)


async def test_what_has_come_buys_time_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_PATIENCE", 0.3)
    monkeypatch.setattr(body, "_SLOWEST", 1000)
    with pytest.raises(TooLarge):  # it got that far, though that took longer than the patience
        await read_bytes(request_of(iter([b"x" * 1000] * 4), pause=0.1), 3500)


async def test_a_drip_buys_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_PATIENCE", 0.05)
    with pytest.raises(Malformed, match="did not arrive"):
        await read_bytes(request_of(iter([b"x"] * 1000), pause=0.01), 2000)


async def test_what_is_announced_too_large_is_not_waited_for() -> None:
    with pytest.raises(TooLarge):
        await read_bytes(request_of(iter([]), headers=[(b"content-length", b"1001")]), 1000)


def request_at_hand(message: Message) -> Request:
    """One that the server has all of, as this message."""

    async def receive() -> Message:
        return message

    return Request({"type": "http", "method": "POST", "headers": [], IS_WHOLE: True}, receive)


async def test_what_is_all_there_is_taken_up_to_its_limit() -> None:
    body = b"x" * 1000
    assert await read_bytes(request_at_hand({"type": "http.request", "body": body}), 1000) == body
    with pytest.raises(TooLarge):
        await read_bytes(request_at_hand({"type": "http.request", "body": body}), 999)


async def test_a_client_that_left_has_no_body() -> None:
    with pytest.raises(ClientDisconnect):
        await read_bytes(request_at_hand({"type": "http.disconnect"}), 1000)


async def test_half_a_body_is_answered_and_nothing_is_stored(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_PATIENCE", 0.1)
    reader, writer = await connect(house)
    writer.write(HEAD.replace("%s", house.account).encode() + b'{"provider":')
    answer = await reader.readuntil(b"\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert read_json(await house.api.get("/api/v1/tasks"), 200)["data"] == []


async def test_a_client_that_leaves_in_the_middle_is_no_error(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relay")
    reader, writer = await connect(house)
    writer.write(HEAD.replace("%s", house.account).encode() + b'{"provider":')
    await writer.drain()
    writer.close()
    while not any(record.getMessage() == "POST /api/v1/tasks 499" for record in caplog.records):
        read_json(await house.api.get("/api/v1/tasks"), 200)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert read_json(await house.api.get("/api/v1/tasks"), 200)["data"] == []
    assert await reader.read() == b""


async def connect(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(str(house.api.base_url))
    return await asyncio.open_connection(address.hostname, address.port)
