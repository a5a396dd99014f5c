"""What a request may bring, held by an operation that takes a small body."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.web.conftest import House, named_fields, problem

pytestmark = pytest.mark.anyio

PLACE = "/api/v1/accounts"
JSON = {"content-type": "application/json"}
MEBIBYTE = 1024 * 1024


MALFORMED = {
    "empty": b"", "cut off": b"{", "no JSON": b"nonsense", "something behind": b'{"name": "a"} x', "Python": b"{'name': 'a'}",
    "no UTF-8": b'{"name": "\xff"}', "UTF-16": b"\xff\xfe", "NaN": b'{"name": NaN}', "half a character": b'{"name": "\\ud800"}',
    "an array": b"[]", "null": b"null", "a string": b'"text"', "a number": b"7", "a long number": b"9" * 5000, "endless": b"[" * 10_000,
    "too deep": b'{"name": ' + b"[" * 65 + b"]" * 65 + b"}", "NUL": b'{"name": "a\\u0000"}', "NUL in a name": b'{"name\\u0000": "a"}',
    "NUL inside": b'{"name": ["a", {"b": "\\u0000"}]}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_object_is_malformed(api: httpx.AsyncClient, body: bytes) -> None:
    problem(await api.post(PLACE, content=body, headers=JSON), 400, "invalid_request")


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" + "0" * 100])
async def test_a_number_beyond_64_bits_is_named(api: httpx.AsyncClient, number: str) -> None:
    assert named_fields(await api.post("/api/v1/tasks", content=f'{{"options": {{"a": [{number}]}}}}', headers=JSON)) == {"options.a.0"}


@pytest.mark.parametrize("content_type", [
    "application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"',
])
async def test_json_is_taken_however_it_is_announced(house: House, content_type: str) -> None:
    answer = await house.api.post("/api/v1/keys", content=b'{"name": "n", "scopes": ["read"]}', headers={"content-type": content_type})

    assert answer.status_code == 201


@pytest.mark.parametrize("headers", [
    {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "multipart/form-data; boundary=x"},
    {"content-type": "application/json; charset=latin-1"}, {**JSON, "content-encoding": "gzip"}, {},
], ids=str)
async def test_another_type_is_not_taken(api: httpx.AsyncClient, headers: dict[str, str]) -> None:
    problem(await api.post(PLACE, content=b'{"name": "a"}', headers=headers), 415, "unsupported_media_type")


async def test_more_than_1_mebibyte_is_too_large(api: httpx.AsyncClient) -> None:
    problem(await api.post(PLACE, content=b" " * (MEBIBYTE + 1), headers=JSON), 413, "payload_too_large")


async def test_a_body_without_a_length_is_counted_as_it_comes(api: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b" " * MEBIBYTE

    assert "32 MiB" in problem(await api.post("/api/v1/tasks", content=chunks(), headers=JSON), 413, "payload_too_large")["detail"]


async def test_a_key_is_asked_for_before_the_body_is_read(house: House) -> None:
    problem(await house.stranger.post(PLACE, content=b" " * (2 * MEBIBYTE), headers=JSON), 401, "unauthorized")


async def test_a_field_that_is_written_wrong_is_told_with_what_was_meant(api: httpx.AsyncClient) -> None:
    refused = (await api.post("/api/v1/tasks", json={"provider": "apiframe", "promt": "x", "colour": "red"})).json()

    messages = {error["field"]: error["message"] for error in refused["errors"]}
    assert messages["promt"] == "is not known; did you mean prompt?"
    assert messages["colour"].startswith("is not known")
