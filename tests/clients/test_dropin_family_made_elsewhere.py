"""Apps of Serevix and of APIFRAME whose pictures another provider makes: each hears its own provider's words only."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.clients.bfl import NotMade, Poller
from tests.clients.relayed import Relayed, new_prompt, open_relay
from tests.clients.test_dropin_apiframe import Refusal, ended, picture_of
from tests.clients.test_dropin_apiframe import submit as submit_to_apiframe
from tests.clients.test_dropin_serevix import poller_at
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Relayed]:  # noqa: ARG001 -- the plugin wants it
    vias = {"RELAY_DROPIN_SEREVIX_VIA": "kie", "RELAY_DROPIN_APIFRAME_VIA": "segmind"}
    async with open_relay(tmp_path_factory.mktemp("relay"), **vias) as relay:
        yield relay


async def shape_of(poller: Poller, body: dict[str, Any]) -> float:
    width, height = look(await poller.picture(body))[1]
    return round(width / height, 2)


@pytest.mark.parametrize(("model", "fields", "ratio", "shape"), [
    ("flux-pro-1.1", {}, "4:3", 1.33), ("flux-pro-1.1", {"width": 1024, "height": 1024}, "1:1", 1.0),
    ("flux-pro-1.1-ultra", {}, "16:9", 1.78), ("flux-pro-1.1-ultra", {"aspect_ratio": "21:9"}, "21:9", 2.33),
], ids=str)
async def test_the_picture_is_made_by_kie_and_told_by_serevix(relay: Relayed, model: str, fields: dict[str, Any], ratio: str,
                                                              shape: float) -> None:
    prompt, poller = new_prompt(), poller_at(relay)
    submitted = await poller.submit(model, prompt=prompt, safety_tolerance=1, webhook_url=f"{relay.hook}/serevix", **fields)
    body = await poller.follow(submitted)
    assert (body["id"], body["result"]["prompt"]) == (submitted["id"], prompt)
    assert abs(await shape_of(poller, body) - shape) < 0.05
    ((_, told),) = await relay.told(submitted["id"])
    assert json.loads(told) == body
    (task,) = await relay.tasks(prompt)
    assert (task["provider"], task["input"]) == ("kie", {"aspect_ratio": ratio, "safety_tolerance": 1, "output_format": "jpeg"})
    assert (await relay.bill("kie", prompt), await relay.bill("serevix", prompt)) == ((1, 1), (0, 0))


@pytest.mark.parametrize(("fields", "names"), [
    ({"seed": 7}, ["seed"]), ({"width": 992, "height": 1024}, ["width", "height"]), ({"finetune_id": "x"}, ["finetune_id"])], ids=str)
async def test_what_kie_cannot_express_is_refused_in_the_gateways_words(relay: Relayed, fields: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await poller_at(relay).submit("flux-pro-1.1", prompt=(prompt := new_prompt()), **fields)
    assert caught.value.response.status_code == 422
    assert [problem["loc"] for problem in caught.value.response.json()["detail"]] == [["body", name] for name in names]
    assert await relay.bill("kie", prompt) == (0, 0)


async def test_a_failure_at_kie_is_one_of_serevix(relay: Relayed) -> None:
    submitted = await poller_at(relay).submit("flux-pro-1.1", prompt=new_prompt("sandbox:moderated"))
    with pytest.raises(NotMade) as caught:
        await poller_at(relay).follow(submitted)
    assert (caught.value.body["status"], list(caught.value.body["details"])) == ("Content Moderated", ["Moderation Reasons"])
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await poller_at(relay).submit("flux-pro-1.1", prompt=new_prompt("sandbox:no-credits"))
    assert (refused.value.response.status_code, refused.value.response.json()) == (402, {"detail": "Insufficient credits"})


async def test_the_picture_is_made_by_segmind_and_told_by_apiframe(relay: Relayed) -> None:
    prompt = new_prompt()
    submitted = await submit_to_apiframe(relay, prompt, seed=7, webhook_url=f"{relay.hook}/apiframe", webhook_secret="s3cret")
    (*_, end) = await ended(relay, submitted["task_id"])
    assert await picture_of(end) == ("PNG", (1024, 768))
    ((headers, body),) = await relay.told(submitted["task_id"])
    told = json.loads(body)
    assert (told["task_id"], told["status"], headers["x-webhook-secret"]) == (submitted["task_id"], "finished", "s3cret")
    assert await picture_of(told) == ("PNG", (1024, 768))
    (task,) = await relay.tasks(prompt)
    assert (task["provider"], task["input"]) == ("segmind", {"width": 1024, "height": 768, "seed": 7, "output_format": "png"})
    assert (await relay.bill("segmind", prompt), await relay.bill("apiframe", prompt)) == ((1, 1), (0, 0))


async def test_what_segmind_cannot_express_is_refused_in_apiframes_words(relay: Relayed) -> None:
    with pytest.raises(Refusal) as caught:
        await submit_to_apiframe(relay, new_prompt(), steps=20, safety_tolerance=6)
    assert caught.value.status == 400
    assert sorted(message.partition(" ")[0] for message in caught.value.messages) == ["safety_tolerance", "steps"]
