"""Apps of Segmind and of Kie whose pictures another provider makes: each hears its own provider's words only."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.clients.relayed import Relayed, new_prompt, open_relay
from tests.clients.test_dropin_kie import NotMade, make, picture_of, record, submit
from tests.clients.test_dropin_segmind import MODEL, Refusal, ask_by_axios, ask_by_run, sdk
from tests.e2e.harness import ADMIN_KEY
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Relayed]:  # noqa: ARG001 -- the plugin wants it
    vias = {"RELAY_DROPIN_SEGMIND_VIA": "kie", "RELAY_DROPIN_KIE_VIA": "segmind"}
    async with open_relay(tmp_path_factory.mktemp("relay"), **vias) as relay:
        yield relay


async def make_held(relay: Relayed, prompt: str, **fields: Any) -> httpx.Response:
    """Version 1 of Segmind's API."""
    async with httpx.AsyncClient(headers={"x-api-key": ADMIN_KEY}, timeout=40) as client:
        return await client.post(f"{relay.base('segmind')}/v1/{MODEL}", json={"prompt": prompt, **fields})


async def test_the_picture_is_made_by_kie_and_told_by_segmind(relay: Relayed) -> None:
    prompt = new_prompt()
    with sdk(relay) as client:
        result = await asyncio.to_thread(client.run, MODEL, prompt=prompt, webhook_url=f"{relay.hook}/segmind")
    assert list(result) == ["request_id", "status", "output", "metrics"]
    assert result["status"] == "COMPLETED"
    async with httpx.AsyncClient() as stranger:
        format_, (width, height) = look((await stranger.get(result["output"])).content)
    assert (format_, width) == ("JPEG", height)  # the ratio that Segmind documents where none is asked for; its format is not to be had
    assert (await relay.bill("kie", prompt), await relay.bill("segmind", prompt)) == ((1, 1), (0, 0))
    ((_, body),) = await relay.told(result["request_id"])
    assert {name: json.loads(body)[name] for name in ("request_id", "status", "output")} == {
        name: result[name] for name in ("request_id", "status", "output")}


async def test_a_size_becomes_the_ratio_that_is_exactly_equal(relay: Relayed) -> None:
    answer = await make_held(relay, prompt := new_prompt(), aspect_ratio="custom", width=1280, height=960, output_format="png")
    assert (answer.status_code, answer.headers["content-type"], answer.headers["x-relay-approximated"]) == (200, "image/png", "size")
    width, height = look(answer.content)[1]
    assert round(width / height, 1) == 1.3
    (task,) = await relay.tasks(prompt)
    assert (task["provider"], task["input"]["aspect_ratio"], "width" in task["input"]) == ("kie", "4:3", False)


async def test_what_says_nothing_about_the_picture_does_no_harm(relay: Relayed) -> None:
    idle = {"width": 1024, "height": 768, "output_quality": 80}
    answer = await make_held(relay, prompt := new_prompt(), aspect_ratio="1:1", output_format="jpg", **idle)
    assert (answer.status_code, "x-relay-approximated" in answer.headers) == (200, False)
    (task,) = await relay.tasks(prompt)
    assert "options" not in task["input"]


@pytest.mark.parametrize(("fields", "name"), [
    ({"seed": 7}, "seed"), ({"aspect_ratio": "4:5"}, "aspect_ratio"), ({"output_format": "webp"}, "output_format"),
    ({"output_quality": 10}, "output_quality"), ({"brand_new": 1}, "brand_new"),
    ({"aspect_ratio": "custom", "width": 1000, "height": 1001}, "width"),
], ids=str)
async def test_what_kie_cannot_express_is_refused_in_segminds_words(relay: Relayed, fields: dict[str, Any], name: str) -> None:
    answer = await make_held(relay, prompt := new_prompt(), **fields)
    assert (answer.status_code, list(answer.json())) == (406, ["error"])
    assert answer.json()["error"].startswith(f"Invalid parameter: {name} ")
    assert await relay.bill("kie", prompt) == (0, 0)


@pytest.mark.parametrize(("words", "status", "error"), [
    ("sandbox:moderated", 406, "Invalid prompt, moderated: Your prompt was flagged by Website as violating content policies."),
    ("sandbox:no-credits", 406, "Insufficient credits"), ("sandbox:error", 500, "Image generation task failed"),
])
async def test_a_failure_at_kie_is_one_of_segminds(relay: Relayed, words: str, status: int, error: str) -> None:
    answer = await make_held(relay, new_prompt(words))
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    with pytest.raises(Refusal) as caught:
        await ask_by_run(relay, new_prompt(words))
    assert (caught.value.error or "") in error


async def test_the_sample_asks_for_a_seed(relay: Relayed) -> None:
    with pytest.raises(Refusal) as caught:
        await ask_by_axios(relay, new_prompt())
    assert caught.value.status == 406


async def test_the_picture_is_made_by_segmind_and_told_by_kie(relay: Relayed) -> None:
    told = await make(relay, prompt := new_prompt(), enableTranslation=None, uploadCn=True, callBackUrl=f"{relay.hook}/kie")
    assert json.loads(told["paramJson"]) == {"prompt": prompt, "enableTranslation": None, "uploadCn": True}
    assert await picture_of(told) == ("JPEG", 1.8)
    assert (await relay.bill("segmind", prompt), await relay.bill("kie", prompt)) == ((1, 1), (0, 0))
    ((_, body),) = await relay.told(told["taskId"])
    called = json.loads(body)
    info = called["data"].pop("info")
    assert called == {"code": 200, "msg": "success", "data": {"taskId": told["taskId"]}}
    assert [link.partition("?")[0] for link in info.values()] == [link.partition("?")[0] for link in told["response"].values()]


@pytest.mark.parametrize("fields", [{"watermark": "mark"}, {"inputImage": "https://example.com/a.png"}], ids=str)
async def test_what_segmind_cannot_express_is_refused_in_kies_words(relay: Relayed, fields: dict[str, Any]) -> None:
    answer = await submit(relay, prompt := new_prompt(), **fields)
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (200, 422, None)
    assert answer.json()["msg"].startswith(f"{next(iter(fields))} ")
    assert await relay.bill("segmind", prompt) == (0, 0)


@pytest.mark.parametrize(("words", "flag", "code", "called_back"), [
    ("sandbox:moderated", 3, 400, 400), ("sandbox:no-credits", 2, 402, 500), ("sandbox:error", 3, 501, 501)])
async def test_a_failure_at_segmind_is_one_of_kies(relay: Relayed, words: str, flag: int, code: int, called_back: int) -> None:
    """Segmind accepts nothing before its picture is there, so all of it is told in the record."""
    prompt = new_prompt(words)
    with pytest.raises(NotMade) as caught:
        await make(relay, prompt, callBackUrl=f"{relay.hook}/kie")
    assert (caught.value.flag, caught.value.code) == (flag, code)
    task_id = (await relay.task(prompt))["id"]
    ((_, body),) = await relay.told(task_id)
    assert (json.loads(body)["code"], json.loads(body)["data"]["taskId"]) == (called_back, task_id)
    assert (await record(relay, task_id))["data"]["errorMessage"] == json.loads(body)["msg"]
