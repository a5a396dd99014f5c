"""The stand-ins against requests that are broken: a 4xx in time, nothing started, and the next request is answered as ever."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.providers.sandboxed import KEY, QUICK, SUBMIT, Client, auth, running_sandbox

pytestmark = pytest.mark.anyio

BODY_SECONDS = 0.3
NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"prompt": "a',
    "words": b"prompt=a",
    "a list": b'[{"prompt": "a"}]',
    "a text": b'"prompt"',
    "null": b"null",
    "bad UTF-8": b'{"prompt": "\xff\xfe"}',
    "deep": b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a lone surrogate": b'{"prompt": "\\ud800"}',
    "a number beyond all numbers": b'{"prompt": "a", "seed": 1e999}',
    "two objects": b'{"prompt": "a"}{"prompt": "b"}',
    "NUL outside of text": b'{"prompt": "a"}\0',
}
BOUNDARY = "----form"
FIELD = '------form\r\ncontent-disposition: form-data; name="%s"\r\n\r\n1\r\n'
FORMS: dict[str, bytes] = {
    "nothing": b"",
    "cut off": b'------form\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na lighth',
    "no last boundary": b'------form\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na\r\n------form\r\n',
    "no headers": b"------form\r\nprompt\r\n------form--\r\n",
    "too many fields": "".join(FIELD % number for number in range(200)).encode() + b"------form--",
    "another boundary": b'------mrof\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na\r\n------mrof--\r\n',
}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running_sandbox(body_timeout=BODY_SECONDS) as client:
        yield client


async def assert_unharmed(client: Client, provider: str) -> None:
    """Nothing was started, and it still works."""
    assert (await client.ledger(provider))[1:3] == (0, 0)
    assert (await client.submit(provider)).status_code == 200


@pytest.mark.parametrize("provider", SUBMIT)
async def test_a_body_that_is_no_json_object_is_refused(client: Client, provider: str) -> None:
    for name, body in NO_JSON.items():
        answer = await client.post(SUBMIT[provider], content=body, headers={**auth(provider), "content-type": "application/json"})
        assert 400 <= answer.status_code < 500, (name, answer.text)
        assert answer.json()
    await assert_unharmed(client, provider)


@pytest.mark.parametrize("provider", ["serevix", "apiframe", "kie", "yescale"])
async def test_another_content_type_is_refused(client: Client, provider: str) -> None:
    for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
        answer = await client.post(SUBMIT[provider], content=b'{"prompt": "a"}', headers={**auth(provider), "content-type": kind})
        assert 400 <= answer.status_code < 500
    await assert_unharmed(client, provider)


async def test_a_form_that_is_broken_is_refused(client: Client) -> None:
    headers = {**auth("segmind"), "content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    for name, body in FORMS.items():
        answer = await client.post(SUBMIT["segmind"], content=body, headers=headers)
        assert 400 <= answer.status_code < 500, name
        assert set(answer.json()) == {"error"}
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="' + "x" * 300 + '"'):
        answer = await client.post(SUBMIT["segmind"], content=FORMS["cut off"], headers={**headers, "content-type": kind})
        assert 400 <= answer.status_code < 500
    await assert_unharmed(client, "segmind")


async def test_a_form_beyond_1_mib_is_refused(client: Client) -> None:
    answer = await client.post(SUBMIT["segmind"], files={"prompt": (None, "x" * 2**20)}, headers=auth("segmind"))
    assert (answer.status_code, answer.json()) == (413, {"error": "A form may have 1 MiB"})
    await assert_unharmed(client, "segmind")


@pytest.mark.parametrize("provider", SUBMIT)
async def test_a_body_beyond_32_mib_is_refused(provider: str) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1024 * 1024

    async with running_sandbox() as client:
        answer = await client.post(SUBMIT[provider], content=flood(), headers={**auth(provider), "content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()
        await assert_unharmed(client, provider)


async def test_a_flood_that_does_not_end_is_cut_in_time(client: Client) -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1024 * 1024

    async with asyncio.timeout(5):
        with contextlib.suppress(httpx.TransportError):
            await client.post(SUBMIT["kie"], content=flood(), headers={**auth("kie"), "content-type": "application/json"})
    await assert_unharmed(client, "kie")


@pytest.mark.parametrize("provider", SUBMIT)
async def test_a_body_that_stops_half_way_is_refused_in_time_and_the_connection_closed(client: Client, provider: str) -> None:
    async with asyncio.timeout(5):
        assert await _raw(client, provider, "content-length: 100", b'{"prompt": "a') == 408
        assert await _raw(client, provider, "transfer-encoding: chunked", b'd\r\n{"prompt": "a\r\n') == 408
    await assert_unharmed(client, provider)


@pytest.mark.parametrize("provider", SUBMIT)
async def test_who_hangs_up_half_way_harms_nobody(client: Client, provider: str) -> None:
    _, writer = await _begin(client, provider, "content-length: 100", b'{"prompt": "a')
    writer.transport.abort()
    async with asyncio.timeout(5):
        while (await client.ledger(provider))[0] == 0:
            await asyncio.sleep(0.01)
    await assert_unharmed(client, provider)


async def test_wrong_types_everywhere_are_refused(client: Client) -> None:
    for provider in SUBMIT:
        for wrong in (True, 1, 1.5, [], {}, [["a"]], {"a": None}):
            answer = await client.submit(provider, prompt=wrong)  # type: ignore[arg-type]  # wrong on purpose
            assert (answer.status_code, answer.json().get("code")) == (200, 422) or 400 <= answer.status_code < 500
        await assert_unharmed(client, provider)


async def test_queries_take_any_id(client: Client) -> None:
    for wrong in ("", "x" * 5000, "%00", "../../etc/passwd", "日本"):
        for path, name in (("/serevix/flux/v1/get_result", "id"), ("/kie/api/v1/flux/kontext/record-info", "taskId")):
            answer = await client.get(path, params={name: wrong}, headers={"authorization": f"Bearer {KEY}"})
            assert answer.json().get("code", answer.status_code) in (404, 422)
    for body in ({}, {"task_id": None}, {"task_id": 5}, {"task_id": ["a"]}, {"task_id": "x"}):
        assert (await client.post("/apiframe/fetch", json=body, headers=auth("apiframe"))).status_code == 400


async def test_the_ledger_is_read_only_and_takes_any_prompt(client: Client) -> None:
    assert (await client.post("/ledger", json={})).status_code == 405
    await client.submit("yescale", f"日本語 & = ? # {QUICK}")
    assert await client.ledger("yescale", f"日本語 & = ? # {QUICK}") == (1, 1, 1, 0)
    assert await client.ledger("yescale", "another") == (0, 0, 0, 0)


async def _begin(client: Client, provider: str, length: str, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    (name, value), = auth(provider).items()
    lines = [f"POST {SUBMIT[provider]} HTTP/1.1", "host: sandbox", f"{name}: {value}", "content-type: application/json", length, "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()
    return reader, writer


async def _raw(client: Client, provider: str, length: str, body: bytes) -> int:
    """The status of the answer to a request that is never finished; the server must hang up after it."""
    reader, writer = await _begin(client, provider, length, body)
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])
