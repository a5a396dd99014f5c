"""The handshake of `verify: "x-hook-secret"`: a receiver agrees before a subscription is active. Off by default."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from msgspec import Struct

from relay.net.fetch import GuardedSession
from relay.net.handshake import Handshake
from tests.delivery.made import LOOPBACK
from tests.delivery.receiver import SILENT, Answer, Receiver
from tests.web.conftest import House, named_fields, problem, read_json
from tests.web.subscribing import PATH, subscribe

pytestmark = pytest.mark.anyio


class Asked(Struct):
    """What came in the handshake."""

    headers: dict[str, str]
    body: bytes


class Agreeing:
    """A receiver that sends back the secret it is asked with, or `echo` instead of it."""

    def __init__(self, echo: str | None = None) -> None:
        self._echo = echo
        self.asked: list[Asked] = []
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Agreeing"]:
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
        self.asked.append(Asked(headers, await reader.readexactly(int(headers.get("content-length", "0")))))
        echo = self._echo or headers.get("x-hook-secret", "")
        writer.write(f"HTTP/1.1 204 No Content\r\nX-Hook-Secret: {echo}\r\nconnection: close\r\n\r\n".encode())
        writer.close()
        await writer.wait_closed()


async def test_it_is_off_unless_it_is_asked_for(api: httpx.AsyncClient) -> None:
    async with Agreeing().listening() as receiver:
        assert (await subscribe(api, url=receiver.url))["verify"] is None
        assert receiver.asked == []


async def test_one_post_that_is_echoed_makes_the_subscription(api: httpx.AsyncClient) -> None:
    async with Agreeing().listening() as receiver:
        made = await subscribe(api, url=receiver.url, verify="x-hook-secret", headers={"Authorization": "Bearer theirs"})

        [asked] = receiver.asked
        assert (made["status"], made["verify"]) == ("active", "x-hook-secret")
        assert len(asked.headers["x-hook-secret"]) >= 32
        assert (asked.body, asked.headers["content-type"]) == (b"{}", "application/json")
        assert asked.headers["authorization"] == "Bearer theirs"
        assert "webhook-signature" not in asked.headers


async def test_each_handshake_has_a_secret_of_its_own(api: httpx.AsyncClient) -> None:
    async with Agreeing().listening() as receiver:
        for number in range(2):
            await subscribe(api, url=f"{receiver.url}/{number}", verify="x-hook-secret")

        assert len({asked.headers["x-hook-secret"] for asked in receiver.asked}) == 2


@pytest.mark.parametrize(("answer", "words"), [
    pytest.param(Answer(), "it answered 200 without the header X-Hook-Secret", id="no echo"),
    pytest.param(Answer(headers={"X-Hook-Secret": "mine"}), "it answered with another X-Hook-Secret", id="another secret"),
    pytest.param(Answer(headers={"X-Hook-Secret": "\u00e4\u00f6\u00fc"}), "it answered with another X-Hook-Secret", id="no ASCII"),
    pytest.param(Answer(status=404), "it answered 404", id="an error"),
    pytest.param(Answer(status=307, headers={"location": "/elsewhere"}), "it answered 307", id="a redirect"),
    pytest.param(Answer(raw=b"", after="close"), "the connection was closed", id="no answer"),
])
async def test_a_receiver_that_does_not_agree_gets_no_subscription(
        api: httpx.AsyncClient, answer: Answer, words: str) -> None:
    async with Receiver(answer) as receiver:
        refused = await api.post(PATH, json={"url": receiver.url, "verify": "x-hook-secret"})

    assert named_fields(refused) == {"url"}
    assert refused.json()["errors"][0]["message"].startswith(f"did not pass the handshake x-hook-secret: {words}")
    assert (await api.get(PATH)).json()["data"] == []
    assert len(receiver.requests) == 1


async def test_nobody_there_is_no_agreement(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        url = receiver.url

    assert named_fields(await api.post(PATH, json={"url": url, "verify": "x-hook-secret"})) == {"url"}


async def test_another_address_has_to_agree_first(api: httpx.AsyncClient) -> None:
    async with Agreeing().listening() as first, Agreeing().listening() as second, Agreeing("mine").listening() as third:
        made = await subscribe(api, url=first.url, verify="x-hook-secret")
        one = f"{PATH}/{made['id']}"

        assert read_json(await api.patch(one, json={"url": second.url}), 200)["url"] == second.url
        assert named_fields(await api.patch(one, json={"url": third.url})) == {"url"}
        assert read_json(await api.patch(one, json={"description": "as before"}), 200)["url"] == second.url

        assert [len(each.asked) for each in (first, second, third)] == [1, 1, 1]


async def test_asking_for_it_later_asks_the_receiver_then(api: httpx.AsyncClient) -> None:
    async with Agreeing().listening() as receiver, Agreeing("mine").listening() as other:
        made: list[dict[str, Any]] = [await subscribe(api, url=url) for url in (receiver.url, other.url)]
        wish = {"verify": "x-hook-secret"}

        assert read_json(await api.patch(f"{PATH}/{made[0]['id']}", json=wish), 200)["verify"] == "x-hook-secret"
        assert named_fields(await api.patch(f"{PATH}/{made[1]['id']}", json=wish)) == {"url"}
        assert (await api.get(f"{PATH}/{made[1]['id']}")).json()["verify"] is None


async def test_a_refused_address_is_not_asked(house: House) -> None:
    async with Receiver(host="::1") as receiver:
        wish = {"url": f"http://[::1]:{receiver.port}/", "verify": "x-hook-secret"}
        assert named_fields(await house.api.post(PATH, json=wish)) == {"url"}
        writer = await house.with_key("subscribe")
        problem(await writer.post(PATH, json={**wish, "allow_cidrs": ["::1/128"]}), 403, "forbidden")
        assert receiver.connections == 0


async def test_a_receiver_that_is_silent_is_waited_for_only_so_long() -> None:
    async with Receiver(SILENT) as receiver:
        session = GuardedSession()
        assert await Handshake(session, timeout=0.2)(receiver.url, {}, LOOPBACK) == "timed out after 0.2 s"
        await session.close()
