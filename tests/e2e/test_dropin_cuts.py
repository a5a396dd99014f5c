"""One call is never paid twice: OpenAI's client, which sends a call that broke twice more, over a line that breaks at random."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openai import APIError, AsyncOpenAI

from tests.e2e.cutter import cutting
from tests.e2e.dropped import Stand, open_stand

pytestmark = pytest.mark.anyio

CALLS = 40
EQUAL = 4
SEED = 20_261


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(tmp_path) as stand:
        yield stand


def client_at(url: str, stand: Stand) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=stand.key, base_url=f"{url}/dropin/yescale/v1")


async def call(client: AsyncOpenAI, prompt: str) -> str | None:
    """The link to the picture, or None where the client gave up."""
    try:
        answer = await client.images.generate(prompt=prompt, size="1024x1024")
    except APIError:
        return None
    assert answer.data
    return answer.data[0].url


async def test_no_call_is_paid_twice_while_connections_are_cut_at_random(stand: Stand) -> None:
    prompts = [f"call {number}" for number in range(CALLS)]
    async with cutting(stand.url, seed=SEED, longest=2) as (url, cutter), client_at(url, stand) as client:
        links = await asyncio.gather(*(call(client, prompt) for prompt in prompts))
    assert min(cutter.cuts.values()) > CALLS / 10, cutter.cuts
    sent = [await stand.received(prompt) for prompt in prompts]
    assert max(sent) == 1
    assert [prompt for prompt, link, count in zip(prompts, links, sent, strict=True) if link and not count] == []
    assert len({link for link in links if link}) == len([link for link in links if link]) > CALLS / 4


async def test_equal_calls_at_once_are_paid_once_each_while_connections_are_cut_at_random(stand: Stand) -> None:
    prompts = [f"equal {number}" for number in range(CALLS // EQUAL)]
    async with cutting(stand.url, seed=SEED, longest=2) as (url, _), client_at(url, stand) as client:
        links = await asyncio.gather(*(call(client, prompt) for prompt in prompts for _ in range(EQUAL)))
    assert max([await stand.received(prompt) for prompt in prompts]) <= EQUAL
    assert len([link for link in links if link]) > CALLS / 4
