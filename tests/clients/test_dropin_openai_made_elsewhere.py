"""Apps of OpenAI whose pictures Kie makes, or Segmind, as the settings or their key say: they hear OpenAI's words only."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.clients.relayed import Relayed, new_prompt, open_relay
from tests.clients.test_dropin_yescale import Refusal, ask_by_python, fetched
from tests.e2e.harness import ADMIN_KEY
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio

PATH = "/v1/images/generations"


@pytest.fixture(scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Relayed]:  # noqa: ARG001 -- the plugin wants it
    async with open_relay(tmp_path_factory.mktemp("relay"), RELAY_DROPIN_YESCALE_VIA="kie") as relay:
        yield relay


@pytest.fixture(scope="module")
async def key(relay: Relayed) -> str:
    """Of an app whose pictures Segmind makes."""
    wish = {"name": "an app", "scopes": ["submit", "read"], "via": {"yescale": "segmind"}}
    return str((await relay.api.post("/api/v1/keys", json=wish)).json()["key"])


async def generate(relay: Relayed, **order: Any) -> httpx.Response:
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=70) as client:
        return await client.post(f"{relay.base('yescale')}{PATH}", json=order)


async def test_the_picture_is_made_by_kie_and_told_by_openai(relay: Relayed) -> None:
    [item] = await ask_by_python(relay, prompt := new_prompt(), model="dall-e-3", size="1024x1024", quality="standard", n=1)
    format_, (width, height) = look(await fetched(item.url))
    assert (format_, width) == ("JPEG", height)
    assert (await relay.bill("kie", prompt), await relay.bill("yescale", prompt)) == ((1, 1), (0, 0))
    task = await relay.task(prompt)
    assert (task["provider"], task["model"], task["input"]) == ("kie", "flux-kontext-pro", {"aspect_ratio": "1:1", "n": 1})


@pytest.mark.parametrize(("fields", "ratio"), [({}, "1:1"), ({"size": "1024x1024"}, "1:1"), ({"size": "1280x960"}, "4:3")], ids=str)
async def test_a_size_becomes_the_ratio_that_is_exactly_equal_and_the_answer_says_so(relay: Relayed, fields: dict[str, str],
                                                                                      ratio: str) -> None:
    answer = await generate(relay, prompt=(prompt := new_prompt()), **fields)
    assert (answer.status_code, answer.headers["x-relay-approximated"]) == (200, "size")
    assert (await relay.task(prompt))["input"] == {"aspect_ratio": ratio}


@pytest.mark.parametrize(("fields", "param"), [
    ({"n": 2}, "n"), ({"extra_body": {"seed": 7}}, "seed"), ({"size": "1366x768"}, "size"), ({"quality": "hd"}, "quality"),
], ids=str)
async def test_what_kie_cannot_express_is_refused_in_openais_words(relay: Relayed, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        await ask_by_python(relay, prompt := new_prompt(), **fields)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert await relay.tasks(prompt) == []


@pytest.mark.parametrize(("words", "status", "code"), [
    ("sandbox:moderated", 400, "content_policy_violation"), ("sandbox:no-credits", 403, "insufficient_user_quota"),
    ("sandbox:error", 500, "do_request_failed"),
])
async def test_a_failure_at_kie_is_one_of_openais(relay: Relayed, words: str, status: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        await ask_by_python(relay, new_prompt(words))
    assert (refused.value.status, refused.value.code) == (status, code)


async def test_bytes_are_those_behind_kies_link(relay: Relayed) -> None:
    [item] = await ask_by_python(relay, prompt := new_prompt(), response_format="b64_json")
    [image] = (await relay.task(prompt))["images"]
    assert base64.b64decode(item.b64_json or "") == await fetched(image["url"])


async def test_a_key_has_its_pictures_made_by_another_and_what_relay_keeps_has_a_link_of_its_own(relay: Relayed, key: str) -> None:
    [item] = await ask_by_python(relay, prompt := new_prompt(), key=key, size="1024x768", extra_body={"seed": 7})
    assert (item.url or "").startswith(f"{relay.url}/images/img_")
    assert look(await fetched(item.url))[1] == (1024, 768)
    assert await relay.bill("segmind", prompt) == (1, 1)
    [kept] = await ask_by_python(relay, new_prompt(), key=key, response_format="b64_json")
    assert look(base64.b64decode(kept.b64_json or ""))[1] == (1024, 1024)
