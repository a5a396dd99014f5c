"""The connection to an app: work ends with it, and an answer counts as taken only if all of it went out while it stood."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message

from relay.providers.dropin.line import Line

pytestmark = pytest.mark.anyio

LARGE = b"x" * 300_000


class Client:
    """The other end: goes away when it is told, or when so many bytes have come."""

    def __init__(self, leaves_after: int | None = None) -> None:
        self.came: list[bytes] = []
        self.gone = asyncio.Event()
        self._leaves_after = leaves_after

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.came.append(message["body"])
            if self._leaves_after is not None and sum(map(len, self.came)) >= self._leaves_after:
                self.gone.set()
                for _ in range(3):  # a server lets others run while it waits for room
                    await asyncio.sleep(0)


def line_to(client: Client) -> Line:
    return Line({"type": "http", "method": "GET"}, client.receive, client.send)


async def told(client: Client, body: bytes) -> bool:
    line = line_to(client)
    try:
        return await line.answer(Response(body))
    finally:
        await line.close()


@pytest.mark.parametrize("body", [b"", b"small", LARGE], ids=len)
async def test_an_answer_that_went_out_is_taken(body: bytes) -> None:
    client = Client()
    assert await told(client, body)
    assert b"".join(client.came) == body


async def test_a_large_answer_goes_out_in_pieces() -> None:
    client = Client()
    await told(client, LARGE)
    assert max(map(len, client.came)) <= 65_536


async def test_an_answer_that_broke_off_is_not_taken() -> None:
    assert not await told(Client(leaves_after=100_000), LARGE)


async def test_who_is_gone_before_the_answer_takes_nothing() -> None:
    client = Client()
    client.gone.set()
    assert not await told(client, b"small")


async def test_who_goes_away_behind_the_last_byte_has_taken_it() -> None:
    assert await told(Client(leaves_after=5), b"small")


async def test_work_ends_with_its_result_while_the_client_is_there() -> None:
    line = line_to(Client())

    async def work() -> int:
        return 7

    assert await line.while_there(work()) == 7
    await line.close()


async def test_work_fails_as_it_fails() -> None:
    line = line_to(Client())

    async def work() -> None:
        raise ValueError("so it is")

    with pytest.raises(ValueError, match="so it is"):
        await line.while_there(work())
    await line.close()


async def test_work_is_given_up_when_the_client_goes_away() -> None:
    client, ended = Client(), asyncio.Event()
    line = line_to(client)

    async def work() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asyncio.get_running_loop().call_soon(client.gone.set)
    with pytest.raises(ClientDisconnect):
        await line.while_there(work())
    assert ended.is_set()
    await line.close()
