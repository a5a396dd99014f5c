"""YEScale: what is particular to a provider that speaks OpenAI's image format."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import ProviderError, ProviderNotConfigured, Unreadable
from relay.model import ErrorCode, TaskStatus, Update
from relay.ports import Provider, ProviderConfig, TaskRequest
from relay.providers.answer import Answer
from relay.providers.yescale import reading, wire
from relay.providers.yescale.client import Yescale
from tests.providers.cases import KEY, NOW, PNG, SECRET, new_task
from tests.providers.upstream import Reply, Upstream, running_upstream

pytestmark = pytest.mark.anyio

TASK = new_task("yescale", model="flux-pro")
LINK = "https://oss.example/outputs/0.png"


def client(base_url: str | None, key: str | None = KEY) -> Yescale:
    return Yescale(ProviderConfig(api_key=key, base_url=base_url), user_agent="relay/test", clock=lambda: NOW)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as running:
        yield running


def test_it_holds_the_connection_and_nothing_else() -> None:
    made: Provider = client("https://api.example")
    assert (made.name, made.image_as, made.echoes_secret, made.confirm) == ("yescale", None, False, False)
    assert (made.limits.max_concurrent, made.limits.rate, made.limits.queries) == (24, None, None)
    assert made.describe().result == "response"


@pytest.mark.parametrize(("base_url", "key"), [(None, KEY), ("https://api.example", None), (None, None)])
def test_it_needs_both_a_base_url_and_a_key(base_url: str | None, key: str | None) -> None:
    made = client(base_url, key)
    assert not made.describe().configured
    with pytest.raises(ProviderNotConfigured):
        made.check(TaskRequest(provider="yescale", prompt="p"))


async def test_the_base_url_is_all_that_stands_before_the_documented_path(upstream: Upstream) -> None:
    upstream.answer = Reply(body={"created": 1, "data": [{"url": LINK}]})
    for base in (upstream.url, upstream.url + "/", upstream.url + "/gateway/openai"):
        made = client(base)
        await made.submit(TASK, image=None, callback=None)
        await made.aclose()
    assert [request.path for request in upstream.requests] == [
        "/v1/images/generations", "/v1/images/generations", "/gateway/openai/v1/images/generations",
    ]


async def test_it_cannot_be_asked_and_does_not_call_back() -> None:
    made = client("https://api.example")
    with pytest.raises(ProviderError, match="cannot be asked"):
        await made.fetch(TASK)
    with pytest.raises(Unreadable):
        made.read_callback({}, b"{}")
    assert not made.is_authentic({"x-webhook-secret": SECRET}, b"{}", secrets=[SECRET], task=TASK)


async def test_ten_large_pictures_come_whole(upstream: Upstream) -> None:
    pictures = [PNG + bytes([number]) * 1_000_000 for number in range(10)]
    upstream.answer = Reply(body={"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()} for data in pictures]})
    made = client(upstream.url)
    update = await made.submit(TASK, image=None, callback=None)
    await made.aclose()
    assert [picture.data for picture in update.pictures] == pictures


async def test_a_link_lives_from_the_answer_on_not_from_the_call(upstream: Upstream) -> None:
    present = [NOW]

    async def take_three_minutes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        present.append(NOW + timedelta(minutes=3))
        writer.write(Reply(body={"created": 1, "data": [{"url": LINK}]}).wire)

    upstream.answer = take_three_minutes
    made = Yescale(ProviderConfig(api_key=KEY, base_url=upstream.url), user_agent="relay/test", clock=lambda: present[-1])
    update = await made.submit(TASK, image=None, callback=None)
    await made.aclose()
    assert update.pictures[0].expires_at == NOW + timedelta(minutes=13)


@pytest.mark.parametrize("code", [429, "429", None, [], {"a": 1}, 10**18, True, "", "x" * 300])
def test_a_code_of_any_type_is_read(code: Any) -> None:
    body = msgspec.json.encode({"error": {"message": "no", "type": "new_api_error", "param": "400", "code": code}})
    with pytest.raises(ProviderError) as caught:
        reading.read_pictures(Answer(status=400, body=body), now=NOW)
    assert caught.value.reason is ErrorCode.INVALID_REQUEST
    assert caught.value.provider_code == (str(code) if code in (429, "429", 10**18) and code is not True else "400")


def test_what_is_told_reads_as_what_it_tells() -> None:
    made = client("https://api.example")
    body = made.callback_for(new_task("yescale", status=TaskStatus.SUCCEEDED, completed_at=NOW), (LINK, LINK)).body
    assert [picture.url for picture in reading.read_pictures(Answer(status=200, body=body), now=NOW).pictures] == [LINK, LINK]


def test_the_sizes_are_the_twelve_of_the_page() -> None:
    assert len(set(wire.SIZES)) == 12
    described = client("https://api.example").describe().models[0].parameters
    assert all(size in str(described["width"].description) for size in wire.SIZES)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8) | st.sampled_from([LINK, "YWJj", "insufficient_quota"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["data", "error", "url", "b64_json", "message", "code", "type"]), inner, max_size=5),
    max_leaves=12,
)


@settings(deadline=None)
@given(body=st.binary(max_size=40) | VALUES.map(lambda value: msgspec.json.encode(value)), status=st.integers(100, 599))  # noqa: PLW0108
def test_garbage_gives_an_update_or_a_provider_error(body: bytes, status: int) -> None:
    with contextlib.suppress(ProviderError):
        update = reading.read_pictures(Answer(status=status, body=body), now=NOW)
        assert isinstance(update, Update)
        assert (update.status is TaskStatus.SUCCEEDED) == bool(update.pictures)
