"""The sandbox's faults: words in a prompt, and a connection that is really cut."""

import asyncio
import socket
from typing import Any, Literal

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from relay.providers.sandbox.endpoint import Cut
from relay.providers.sandbox.faults import MAX_RATE_LIMIT, MAX_SLOW, Faults, read_faults

FLAGS = sorted(set(Faults.__struct_fields__) - {"slow", "rate_limit"})


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert read_faults(text.replace("sandbox:", "")) == Faults()
    found = read_faults(f"sandbox:{text}")
    assert found.slow is None or 0 <= found.slow <= MAX_SLOW
    assert 0 <= found.rate_limit <= MAX_RATE_LIMIT


@given(st.sets(st.sampled_from(FLAGS)), st.none() | st.integers(0, 600), st.integers(0, 1000), st.randoms())
def test_words_combine_in_any_order(flags: set[str], slow: int | None, rate_limit: int, chance: Any) -> None:
    words = [f"sandbox:{flag.replace('_', '-')}" for flag in flags] + [f"sandbox:rate-limit={rate_limit}"]
    words += [] if slow is None else [f"sandbox:slow={slow}"]
    chance.shuffle(words)
    expected = Faults(**dict.fromkeys(flags, True), rate_limit=rate_limit, slow=slow)
    assert read_faults(f"a lighthouse {', '.join(words)}.") == expected


async def _cut_off(scope: Scope, receive: Receive, send: Send) -> None:
    async def wrapped() -> Message:
        return await receive()

    await receive()
    await Cut()(scope, wrapped if scope["path"] == "/wrapped" else receive, send)


@pytest.mark.anyio
@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize(("path", "words"), [
    pytest.param("/", "without sending a response", id="not a byte comes"),
    pytest.param("/wrapped", "without sending complete message body", id="behind a middleware the body never comes"),
])
async def test_a_cut_is_a_cut_with_every_parser(http: Literal["h11", "httptools"], path: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(_cut_off, http=http, loop="none", lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as group, httpx.AsyncClient(verify=False) as client:  # noqa: S501 -- plain http
            group.create_task(server.serve(sockets=[listening]), name="server")
            with pytest.raises(httpx.RemoteProtocolError, match=words):
                await client.post(f"http://127.0.0.1:{listening.getsockname()[1]}{path}", json={})
            server.should_exit = True
