"""The sample requests of the five providers' documents run against the sandbox with nothing changed but host and key, and are answered
as the documents show. Segmind's sample hands a boolean to form-data, which form-data refuses: here its values are strings."""

import asyncio
import io
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.clients.stage import KEY, Stage, open_stage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


async def fetch_picture(url: str) -> tuple[str | None, tuple[int, int]]:
    """Format and size of the picture behind a link."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
    assert answer.status_code == 200
    picture = Image.open(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == f"image/{(picture.format or '').lower()}"
    return picture.format, picture.size


async def test_serevix_curl_gets_an_id_and_a_polling_url(stage: Stage) -> None:
    answer = json.loads(await stage.run("serevix.sh", "serevix"))
    assert list(answer) == ["id", "polling_url"]
    assert answer["polling_url"] == f"{stage.url}/serevix/flux/v1/get_result?id={uuid.UUID(answer['id'])}"
    result = await _serevix_result(answer["polling_url"])
    assert list(result) == ["sample", "prompt", "seed", "start_time", "end_time", "duration"]
    assert await fetch_picture(result["sample"]) == ("JPEG", (1024, 768))


async def _serevix_result(polling_url: str) -> dict[str, Any]:
    async with asyncio.timeout(10), httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as client:
        while (body := (await client.get(polling_url)).json())["status"] != "Ready":
            assert (body["status"], body["result"]) == ("Pending", None)
            await asyncio.sleep(0.05)
    return dict(body["result"])


async def test_apiframe_axios_gets_a_task_id(stage: Stage) -> None:
    answer = json.loads(await stage.run("apiframe.js", "apiframe"))
    assert list(answer) == ["task_id"]
    seen = await _apiframe_notices(stage, answer["task_id"])
    assert all(list(notice) == ["task_id", "task_type", "status", "percentage"] for notice in seen[:-1])
    assert all((notice["status"], notice["task_type"]) == ("processing", "flux-imagine") for notice in seen[:-1])
    end = seen[-1]
    assert list(end) == ["task_id", "task_type", "original_image_url", "image_url"]
    assert (end["task_id"], end["task_type"]) == (answer["task_id"], "flux-imagine")
    assert await fetch_picture(end["image_url"]) == ("PNG", (1024, 768))


async def _apiframe_notices(stage: Stage, task_id: str) -> list[dict[str, Any]]:
    """What fetch says of a task until its end."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(10), httpx.AsyncClient(headers={"authorization": KEY}) as client:
        while not seen or "status" in seen[-1]:
            seen.append((await client.post(f"{stage.url}/apiframe/fetch", json={"task_id": task_id})).json())
            await asyncio.sleep(0.05)
    return seen


async def test_segmind_axios_with_a_form_gets_the_picture(stage: Stage) -> None:
    await stage.run("segmind.js", "segmind")
    told = stage.last
    assert (told.status, told.content_type) == (200, "image/png")
    picture = Image.open(io.BytesIO(told.body))
    assert (picture.format, picture.size) == ("PNG", (1024, 1024))


async def test_kie_fetch_gets_a_task_id(stage: Stage) -> None:
    answer = json.loads(await stage.run("kie.js", "kie"))
    assert answer == {"code": 200, "msg": "success", "data": {"taskId": str(uuid.UUID(answer["data"]["taskId"]))}}
    record = await _kie_record(stage, answer["data"]["taskId"])
    assert (record["errorCode"], record["errorMessage"]) == (None, "")
    format_, (width, height) = await fetch_picture(record["response"]["resultImageUrl"])
    assert (format_, round(width / height, 1)) == ("JPEG", round(16 / 9, 1))


async def _kie_record(stage: Stage, task_id: str) -> dict[str, Any]:
    url, params = f"{stage.url}/kie/api/v1/flux/kontext/record-info", {"taskId": task_id}
    async with asyncio.timeout(10), httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as client:
        while (record := (await client.get(url, params=params)).json()["data"])["successFlag"] == 0:
            await asyncio.sleep(0.2)
    assert record["successFlag"] == 1
    return dict(record)


async def test_yescale_curl_gets_a_link(stage: Stage) -> None:
    answer = json.loads(await stage.run("yescale.sh", "yescale"))
    assert list(answer) == ["created", "data"]
    assert isinstance(answer["created"], int)
    (item,) = answer["data"]
    assert list(item) == ["b64_json", "revised_prompt", "url"]
    assert (item["b64_json"], item["revised_prompt"]) == (None, None)
    assert urlsplit(item["url"]).path.endswith("_0.png")
    assert await fetch_picture(item["url"]) == ("PNG", (1024, 1024))


async def test_segminds_sample_as_printed_stops_half_way_and_is_refused_within_the_body_timeout() -> None:
    async with open_stage(body_timeout=0.3) as stage:
        await stage.run("segmind_as_printed.js", "segmind")  # ends only because the server hangs up: axios leaves the line open
        assert 400 <= stage.last.status < 500
        async with httpx.AsyncClient() as client:
            ledger = (await client.get(f"{stage.url}/ledger")).json()
    assert (ledger["segmind"]["accepted"], ledger["segmind"]["billed"]) == (0, 0)


async def test_a_form_that_stops_half_way_is_refused_within_the_body_timeout() -> None:
    head = (
        "POST /segmind/v1/flux-1.1-pro HTTP/1.1\r\nhost: sandbox\r\nx-api-key: client-key\r\ntransfer-encoding: chunked\r\n"
        "content-type: multipart/form-data; boundary=--------------------------1\r\n\r\n"
    )
    part = '----------------------------1\r\nContent-Disposition: form-data; name="seed"\r\n\r\n12345\r\n'
    async with open_stage(body_timeout=0.3) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(stage.url).port)
        writer.write(f"{head}{len(part):x}\r\n{part}\r\n".encode())
        async with asyncio.timeout(5):
            answer = await reader.read()  # to the end: the server hangs up, since the rest of the body may still come
        writer.close()
    status = int(answer.split(b" ", 2)[1])
    assert 400 <= status < 500
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error"}
