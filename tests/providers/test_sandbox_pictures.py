"""What the stand-ins draw: real pictures, of the size and format that was asked for, the same for the same prompt and seed."""

import base64
import io
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from relay.providers.sandbox.picture import Drawing, Studio, draw, key_for, text_for
from tests.providers.sandboxed import BEARER, QUICK, SUBMIT, Client, auth, look, running_sandbox

pytestmark = pytest.mark.anyio

PROMPT = f"a lighthouse {QUICK}"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running_sandbox() as client:
        yield client


def picture(colour: str = "red") -> str:
    """A small picture in base64."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


async def made(client: Client, provider: str, **fields: Any) -> tuple[str, bytes]:
    """Content type and bytes of the one picture of a submission."""
    match provider:
        case "segmind":
            answer = await client.submit(provider, **fields)
        case "yescale":
            answer = await client.get((await client.submit(provider, **fields)).json()["data"][0]["url"])
        case "serevix":
            answer = await client.get((await client.serevix(**fields))["result"]["sample"])
        case "apiframe":
            answer = await client.get((await client.apiframe(**fields))["image_url"])
        case _:
            answer = await client.get((await client.kie(**fields))["response"]["resultImageUrl"])
    assert answer.status_code == 200, answer.text
    return answer.headers["content-type"], answer.content


SIZES: list[tuple[str, dict[str, Any], str, tuple[int, int]]] = [
    ("serevix", {}, "JPEG", (1024, 768)),
    ("serevix", {"width": 512, "height": 32.0, "output_format": "png"}, "PNG", (512, 32)),
    ("apiframe", {}, "PNG", (1024, 768)),
    ("apiframe", {"model": "flux-pro", "width": 256, "height": 1440}, "PNG", (256, 1440)),
    ("apiframe", {"model": "flux-pro-1.1-ultra"}, "PNG", (1360, 768)),
    ("apiframe", {"model": "flux-pro-1.1-ultra", "aspect_ratio": "9:21", "raw": True}, "PNG", (672, 1568)),
    ("apiframe", {"model": "flux-pro-1.1-ultra", "width": 300}, "PNG", (300, 768)),
    ("segmind", {}, "WEBP", (1024, 1024)),
    ("segmind", {"width": 256, "height": 256, "output_format": "png"}, "PNG", (1024, 1024)),
    ("segmind", {"width": 257, "height": 1439, "aspect_ratio": "custom", "output_format": "jpg"}, "JPEG", (256, 1440)),
    ("segmind", {"aspect_ratio": "16:9", "output_quality": 0}, "WEBP", (1360, 768)),
    ("kie", {}, "JPEG", (1360, 768)),
    ("kie", {"aspectRatio": "1:1", "outputFormat": "png", "watermark": "mine"}, "PNG", (1024, 1024)),
    ("kie", {"inputImage": "https://example.com/a.png"}, "JPEG", (1024, 1024)),
    ("yescale", {}, "PNG", (1024, 1024)),
    ("yescale", {"size": "768x1366"}, "PNG", (768, 1366)),
]


@pytest.mark.parametrize(("provider", "fields", "kind", "size"), SIZES)
async def test_a_picture_has_the_size_and_format_that_was_asked_for(
        client: Client, provider: str, fields: dict[str, Any], kind: str, size: tuple[int, int]) -> None:
    content_type, data = await made(client, provider, **fields)
    assert look(data) == (kind, size)
    assert content_type == f"image/{kind.lower()}"


@pytest.mark.parametrize("provider", ["serevix", "segmind"])
async def test_prompt_and_seed_decide_the_picture(client: Client, provider: str) -> None:
    small = {"width": 256, "height": 256, "aspect_ratio": "custom"}
    _, first = await made(client, provider, seed=7, **small)
    assert (await made(client, provider, seed=7, **small))[1] == first
    assert (await made(client, provider, seed=8, **small))[1] != first
    assert (await made(client, provider, prompt=f"a windmill {QUICK}", seed=7, **small))[1] != first


async def test_an_input_picture_changes_the_outcome(client: Client) -> None:
    results = [await made(client, "serevix", width=64, height=64, **fields)
               for fields in ({}, {"image_prompt": picture("red")}, {"image_prompt": picture("blue")})]
    assert len({data for _, data in results}) == 3


async def test_an_absent_seed_follows_from_the_prompt_and_is_told(client: Client) -> None:
    results = [(await client.serevix(prompt=f"{name} {QUICK}", width=64, height=64))["result"] for name in "aab"]
    assert results[0]["seed"] == results[1]["seed"] != results[2]["seed"]


async def test_yescale_makes_n_different_pictures_as_links_or_base64(client: Client) -> None:
    links = (await client.submit("yescale", n=3, size="512x768")).json()["data"]
    fetched = [(await client.get(item["url"])).content for item in links]
    assert len(set(fetched)) == 3
    items = (await client.submit("yescale", n=3, size="512x768", response_format="b64_json")).json()["data"]
    assert [(item["url"], item["revised_prompt"]) for item in items] == [(None, None)] * 3
    assert [base64.b64decode(item["b64_json"]) for item in items] == fetched
    assert (await client.ledger("yescale"))[2] == 6


async def test_segmind_tells_the_credits_that_are_left(client: Client) -> None:
    answers = [await client.submit("segmind", aspect_ratio="custom", width=256, height=256) for _ in range(2)]
    assert [answer.headers["x-remaining-credits"] for answer in answers] == ["999.96", "999.92"]
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]
    assert (await client.submit("segmind", "sandbox:no-credits")).headers["x-remaining-credits"] == "0"


async def test_segmind_takes_a_form_whose_values_are_text(client: Client) -> None:
    fields = {"prompt": PROMPT, "seed": "5", "width": "256", "height": "320", "aspect_ratio": "custom", "output_format": "png",
              "output_quality": "80", "safety_tolerance": "2"}
    seen = set()
    for flag in ("false", "0", "true", "1", "False"):
        files = {name: (None, value) for name, value in {**fields, "prompt_upsampling": flag}.items()}
        answer = await client.post(SUBMIT["segmind"], files=files, headers=auth("segmind"))
        assert answer.status_code == 200, answer.text
        assert look(answer.content) == ("PNG", (256, 320))
        seen.add(answer.content)
    assert len(seen) == 1
    as_json = await client.post(SUBMIT["segmind"], json={**fields, "seed": 5, "prompt_upsampling": 0}, headers=auth("segmind"))
    assert as_json.content in seen


async def test_segmind_refuses_every_other_content_type_with_406(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""):
        answer = await client.post(SUBMIT["segmind"], content=b'{"prompt": "a"}', headers={**auth("segmind"), "content-type": kind})
        assert (answer.status_code, answer.json()) == (406, {"error": "Invalid content type"})


async def test_a_signed_link_opens_until_its_time_is_over() -> None:
    now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    moments = [now]
    async with running_sandbox(clock=lambda: moments[-1]) as client:
        sample = (await client.serevix(width=64, height=64))["result"]["sample"]
        origin = (await client.kie())["response"]["originImageUrl"]
        assert "se=2026-03-01T12%3A10%3A00Z" in sample
        for link in (sample, origin):
            assert (await client.get(link)).status_code == 200
            for broken in (link.partition("?")[0], link.replace("12%3A10", "12%3A20"), link[:-1] + ("0" if link[-1] != "0" else "1")):
                assert (await client.get(broken)).status_code == 403
        moments.append(now + timedelta(minutes=10))
        for link in (sample, origin):
            answer = await client.get(link)
            assert (answer.status_code, answer.headers["content-type"]) == (403, "application/xml")
            assert b"AuthenticationFailed" in answer.content


@pytest.mark.parametrize("provider", ["serevix", "apiframe", "kie", "yescale"])
async def test_an_expired_image_answers_403_as_azure_does(client: Client, provider: str) -> None:
    prompt = f"a sandbox:expired-image {QUICK}"
    match provider:
        case "serevix":
            link = (await client.serevix(prompt=prompt))["result"]["sample"]
        case "apiframe":
            link = (await client.apiframe(prompt=prompt))["image_url"]
        case "kie":
            link = (await client.kie(prompt=prompt))["response"]["resultImageUrl"]
        case _:
            link = (await client.submit(provider, prompt)).json()["data"][0]["url"]
    answer = await client.get(link)
    assert answer.status_code == 403
    assert b"AuthenticationFailed" in answer.content
    assert (await client.ledger(provider, prompt))[2] == 1


async def test_there_is_no_picture_before_the_end_nor_under_another_name(client: Client) -> None:
    running = (await client.submit("apiframe", "a sandbox:slow=60")).json()["task_id"]
    link = (await client.apiframe())["image_url"]
    for url in (f"/apiframe/outputs/{running}_0.png", link.replace("_0.png", "_1.png"), link.replace(".png", ".webp"), link + "x",
                "/apiframe/outputs/x", link.replace("/apiframe/", "/kie/")):
        assert (await client.get(url)).status_code == 404, url
    assert (await client.head(link)).status_code == 200


async def test_a_task_tells_its_progress_until_it_is_done(client: Client) -> None:
    task_id = (await client.submit("apiframe", "a sandbox:slow=60")).json()["task_id"]
    body = await client.fetched(task_id)
    assert list(body) == ["task_id", "task_type", "status", "percentage"]
    assert 0 <= body["percentage"] < 100
    serevix = (await client.submit("serevix", "a sandbox:slow=60")).json()
    body = (await client.get(serevix["polling_url"], headers=BEARER)).json()
    assert (body["status"], body["result"]) == ("Pending", None)
    assert 0 <= body["progress"] < 1
    kie = await client.record((await client.submit("kie", "a sandbox:slow=60")).json()["data"]["taskId"])
    assert (kie["successFlag"], kie["response"], kie["completeTime"]) == (0, None, None)


async def test_a_generation_takes_between_three_tenths_and_one_and_a_half_seconds(client: Client) -> None:
    started = time.perf_counter()
    answer = await client.submit("segmind", "a lighthouse", aspect_ratio="custom", width=256, height=256)
    assert 0.3 <= float(answer.headers["x-generation-time"]) <= 1.5
    assert time.perf_counter() - started >= 0.3


def drawing(text: str = "a lighthouse", **fields: Any) -> Drawing:
    return Drawing(**{"key": key_for(text, 1), "text": text_for(text), "width": 128, "height": 128, "format": "png", **fields})


async def test_any_text_can_stand_on_any_picture() -> None:
    for text in ("", " ", "x" * 2000, "日本語 עברית 🎨", "a\x00\x1b\u202e b", "word " * 500):
        for width, height in ((32, 32), (96, 2048), (1440, 96)):
            assert look(draw(drawing(text, width=width, height=height)))[1] == (width, height)


async def test_the_studio_keeps_no_more_than_its_cache_holds() -> None:
    one = len(draw(drawing("0")))
    studio = Studio(cache_bytes=3 * one)
    files = [await studio.file(drawing(str(number))) for number in range(12)]
    assert files == [await studio.file(drawing(str(number))) for number in range(12)]
    assert sum(len(data) for data in studio._files.values()) <= 3 * one  # noqa: SLF001 -- what is bounded cannot be seen from outside
