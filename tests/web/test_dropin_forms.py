"""Forms that break off, as the sample on Segmind's page does where it hands a boolean to form-data: refused in time, and nothing made."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from relay.web import body
from tests.clients.relayed import Relayed
from tests.clients.scissors import Scissors
from tests.e2e.harness import Api, Inbox
from tests.web.conftest import House, read_json

pytestmark = pytest.mark.anyio

HEAD = ("POST /dropin/segmind/v1/flux-1.1-pro HTTP/1.1\r\nhost: relay\r\nx-api-key: %s\r\ntransfer-encoding: chunked\r\n"
        "content-type: multipart/form-data; boundary=--------------------------1\r\n\r\n")
PART = '----------------------------1\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na bird\r\n'


async def key_of(house: House) -> str:
    return str(read_json(await house.api.post("/api/v1/keys", json={"name": "an app", "scopes": ["submit", "read"]}), 201)["key"])


async def test_a_form_that_stops_half_way_is_refused_in_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_PATIENCE", 0.1)
    address = urlsplit(str(house.api.base_url))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"{HEAD % await key_of(house)}{len(PART):x}\r\n{PART}\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read()  # to the end: the server hangs up, since the rest of the body may still come
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert list(json.loads(answer.partition(b"\r\n\r\n")[2])) == ["error"]
    assert read_json(await house.api.get("/api/v1/tasks"), 200)["data"] == []


async def test_a_form_that_is_too_large_is_refused_as_segmind_does(house: House) -> None:
    answer = await house.api.post("/dropin/segmind/v1/flux-1.1-pro", files={"prompt": (None, "x" * 2**20)})
    assert (answer.status_code, answer.json()) == (413, {"error": "A form may have 1 MiB"})


async def test_the_sample_of_segminds_page_as_printed_comes_to_an_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself it would not: axios leaves the line open when form-data fails in the middle of the body."""
    monkeypatch.setattr(body, "_PATIENCE", 0.3)
    url = str(house.api.base_url).rstrip("/")
    async with Api(url) as api:
        relayed = Relayed(url=url, api=api, inbox=Inbox(), hook="", scissors=Scissors(0))
        ran = await relayed.run("segmind_as_printed.js", "segmind", key=await key_of(house))
    assert "Error:" in ran.stderr
    assert read_json(await house.api.get("/api/v1/tasks"), 200)["data"] == []
