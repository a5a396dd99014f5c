"""Segmind: what is particular to a provider whose answer is the picture itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Fate, ProviderError, Unreadable
from relay.model import ErrorCode, TaskStatus, Update
from relay.net.picture import picture_type
from relay.ports import Provider, ProviderConfig, TaskRequest
from relay.providers.answer import Answer
from relay.providers.segmind import reading, wire
from relay.providers.segmind.client import Segmind
from tests.providers.cases import KEY, NOW, PNG, SECRET, new_task
from tests.providers.upstream import Reply, Upstream, running_upstream

pytestmark = pytest.mark.anyio

TASK = new_task("segmind", model="flux-1.1-pro")


def client(base_url: str | None = None, timeout: float | None = None) -> Segmind:
    config = ProviderConfig(api_key=KEY, base_url=base_url, timeout=timeout)
    return Segmind(config, user_agent="relay/test", clock=lambda: datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as running:
        yield running


def test_it_holds_the_connection_and_nothing_else() -> None:
    made: Provider = client()
    assert (made.name, made.image_as, made.echoes_secret, made.confirm) == ("segmind", None, False, False)
    assert (made.limits.max_concurrent, made.limits.rate, made.limits.queries) == (24, None, None)
    assert made.describe().result == "response"


async def test_it_cannot_be_asked_and_does_not_call_back() -> None:
    made = client()
    with pytest.raises(ProviderError, match="cannot be asked"):
        await made.fetch(TASK)
    with pytest.raises(Unreadable):
        made.read_callback({}, b"{}")
    assert not made.is_authentic({"x-webhook-secret": SECRET}, b"{}", secrets=[SECRET], task=TASK)


async def test_a_picture_of_many_megabytes_comes_whole(upstream: Upstream) -> None:
    data = PNG + bytes(range(256)) * 4096 * 6
    upstream.answer = Reply(body=data, headers={"content-type": "image/png"})
    made = client(upstream.url)
    update = await made.submit(TASK, image=None, callback=None)
    await made.aclose()
    assert update.pictures[0].data == data
    assert upstream.requests[0].headers["accept"] == "image/*, application/json"


async def test_a_picture_cut_short_is_an_unknown_outcome_and_is_not_asked_for_again(upstream: Upstream) -> None:
    upstream.answer = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 1000\r\n\r\n" + PNG
    made = client(upstream.url)
    with pytest.raises(ProviderError) as caught:
        await made.submit(TASK, image=None, callback=None)
    await made.aclose()
    assert caught.value.fate is Fate.UNKNOWN
    assert len(upstream.requests) == 1


async def test_many_calls_are_held_at_once(upstream: Upstream) -> None:
    everybody_is_here = asyncio.Event()

    async def wait_for_all(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(upstream.requests) == 24:
            everybody_is_here.set()
        await everybody_is_here.wait()
        writer.write(Reply(body=PNG, headers={"content-type": "image/png"}).wire)

    upstream.answer = wait_for_all
    made = client(upstream.url, timeout=10)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(made.submit(TASK, image=None, callback=None)) for _ in range(24)]
    await made.aclose()
    assert {call.result().status for call in calls} == {TaskStatus.SUCCEEDED}


def test_only_the_advised_ratios_are_shown_and_every_ratio_is_taken() -> None:
    made = client()
    shown = made.describe().models[0].parameters["aspect_ratio"]
    assert shown.advisory
    assert shown.enum == wire.ASPECT_RATIOS
    made.check(TaskRequest(provider="segmind", prompt="p", aspect_ratio="9:21"))


@pytest.mark.parametrize(("text", "reason"), [
    ("Not enough credits", ErrorCode.INSUFFICIENT_CREDITS), ("", ErrorCode.INSUFFICIENT_CREDITS),
    ("Insufficient Credits: invalid balance", ErrorCode.INSUFFICIENT_CREDITS), ("Invalid content type", ErrorCode.INVALID_REQUEST),
    ("seed must be an integer", ErrorCode.INVALID_REQUEST), ("prompt is required", ErrorCode.INVALID_REQUEST),
    ("Team limit reached", ErrorCode.INSUFFICIENT_CREDITS),
])
def test_the_text_of_a_406_tells_what_it_is_about(text: str, reason: ErrorCode) -> None:
    with pytest.raises(ProviderError) as caught:
        reading.read_picture(Answer(status=406, body=b'{"error": "%s"}' % text.encode()))
    assert (caught.value.reason, caught.value.fate) == (reason, Fate.REFUSED)


@pytest.mark.parametrize(("data", "content_type"), [
    (b"\x89PNG\r\n\x1a\nrest", "image/png"), (b"\xff\xd8\xff\xe1rest", "image/jpeg"), (b"RIFF1234WEBPVP8 ", "image/webp"),
    (b"RIFF1234WAVE", None), (b"GIF89a", "image/gif"), (b"\x89PNG", None), (b"", None), (b'{"error":1}', None),
])
def test_a_picture_is_told_by_its_first_bytes(data: bytes, content_type: str | None) -> None:
    assert picture_type(data) == content_type


HEADERS = st.dictionaries(st.sampled_from(["x-remaining-credits", "x-request-id", "x-cost"]), st.text(max_size=12) | st.floats().map(str))


@settings(deadline=None)
@given(body=st.binary(max_size=40) | st.binary(max_size=20).map(lambda rest: PNG + rest), status=st.integers(100, 599), headers=HEADERS,
       content_type=st.sampled_from(["", "image/png", "image/", "application/json", "text/html"]))
def test_garbage_gives_an_update_or_a_provider_error(body: bytes, status: int, headers: dict[str, str], content_type: str) -> None:
    with contextlib.suppress(ProviderError):
        update = reading.read_picture(Answer(status=status, body=body, headers=headers, content_type=content_type))
        assert isinstance(update, Update)
        assert (update.status is TaskStatus.SUCCEEDED) == bool(update.pictures)


def test_a_result_told_says_how_long_it_took_only_if_that_is_known() -> None:
    body = client().callback_for(new_task("segmind", status=TaskStatus.SUCCEEDED, completed_at=NOW), ("https://a.example/1.png",)).body
    assert b"metrics" not in body
