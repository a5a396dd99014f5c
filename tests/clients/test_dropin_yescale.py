"""OpenAI's own packages, for Python and for Node, with nothing changed but base URL and key; and the page's curl sample."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct
from openai import APIConnectionError, APIStatusError, AsyncOpenAI
from standardwebhooks.webhooks import Webhook

from tests.clients.relayed import Relayed, new_prompt, open_relay
from tests.e2e.harness import ADMIN_KEY
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio

WRONG_KEY = "rly_" + "x" * 36
ORDER = '{"prompt": "a lighthouse at dusk"}'
PAGE_ORDER = '"a beautiful landscape with a river and mountains"'


class Refusal(Exception):
    """What a package throws. `status`: None where no answer came."""

    def __init__(self, status: int | None, code: str | None, param: str | None, message: str) -> None:
        self.status = status
        self.code = code
        self.param = param
        self.message = message
        super().__init__(status, code, param, message)


class Item(Struct):
    """One picture, as the package gives it."""

    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = None


Ask = Callable[..., Coroutine[Any, Any, list[Item]]]


async def ask_by_python(relay: Relayed, prompt: str, *, key: str = ADMIN_KEY, cuttable: bool = False, **fields: Any) -> list[Item]:
    async with AsyncOpenAI(api_key=key, base_url=f"{relay.base('yescale', cuttable=cuttable)}/v1") as client:
        try:
            answer = await client.images.generate(prompt=prompt, **fields)
        except APIStatusError as exc:
            raise Refusal(exc.status_code, exc.code, exc.param, exc.message) from exc
        except APIConnectionError as exc:
            raise Refusal(None, None, None, exc.message) from exc
    assert isinstance(answer.created, int)
    return [Item(url=item.url, b64_json=item.b64_json) for item in answer.data or []]


async def ask_by_node(relay: Relayed, prompt: str, *, key: str = ADMIN_KEY, cuttable: bool = False, **fields: Any) -> list[Item]:
    ran = await relay.run("openai_app.js", "yescale", instead={ORDER: json.dumps({"prompt": prompt, **fields})}, key=key, cuttable=cuttable)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    if "answer" not in told:
        raise Refusal(told.get("status"), told.get("code"), told.get("param"), told["message"])
    return [Item(**item) for item in told["answer"]["data"]]


@pytest.fixture(params=[ask_by_python, ask_by_node], ids=["python", "node"])
def ask(request: pytest.FixtureRequest) -> Ask:
    made: Ask = request.param
    return made


async def fetched(url: str | None) -> bytes:
    async with httpx.AsyncClient() as client:
        return (await client.get(url or "")).raise_for_status().content


async def test_a_picture_is_made_once_and_its_link_opens(relay: Relayed, ask: Ask) -> None:
    [item] = await ask(relay, prompt := new_prompt(), model="flux-pro", size="1280x960", n=1, quality="standard", user="u-1")
    assert look(await fetched(item.url)) == ("PNG", (1280, 960))
    assert item.b64_json is None
    assert await relay.bill("yescale", prompt) == (1, 1)
    task = await relay.task(prompt)
    assert task["input"] == {"width": 1280, "height": 960, "n": 1, "options": {"quality": "standard", "user": "u-1"}}


async def test_pictures_come_as_bytes_where_that_is_asked_for(relay: Relayed, ask: Ask) -> None:
    items = await ask(relay, prompt := new_prompt(), n=2, response_format="b64_json")
    pictures = [base64.b64decode(item.b64_json or "") for item in items]
    assert [look(picture) for picture in pictures] == [("PNG", (1024, 1024))] * 2
    assert pictures == [await fetched(image["url"]) for image in (await relay.task(prompt))["images"]]
    assert [item.url for item in items] == [None, None]


@pytest.mark.parametrize(("words", "status", "code"), [
    ("sandbox:moderated", 400, "content_policy_violation"),
    ("sandbox:no-credits", 403, "insufficient_user_quota"),
    ("sandbox:error", 500, "do_request_failed"),
    ("sandbox:drop-answer", 502, "outcome_unknown"),
])
async def test_a_failure_says_why_and_is_asked_for_once(relay: Relayed, ask: Ask, words: str, status: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        await ask(relay, prompt := new_prompt(words))
    assert (refused.value.status, refused.value.code) == (status, code)
    assert (await relay.bill("yescale", prompt))[0] == 1
    assert len(await relay.tasks(prompt)) == 1


@pytest.mark.parametrize(("fields", "param"), [
    ({"size": "100x100"}, "size"), ({"size": "large"}, "size"), ({"n": 11}, "n"), ({"n": 0}, "n"),
    ({"response_format": "webp"}, "response_format"),
    ({"stream": True}, "stream"), ({"partial_images": 2}, "partial_images"),
], ids=str)
async def test_a_wrong_value_is_refused_by_its_name_and_never_sent(relay: Relayed, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        await ask_by_python(relay, prompt := new_prompt(), **fields)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert await relay.tasks(prompt) == []


async def test_the_package_for_node_hears_of_a_wrong_value_too(relay: Relayed) -> None:
    with pytest.raises(Refusal) as refused:
        await ask_by_node(relay, new_prompt("w" * 1001))
    assert (refused.value.status, refused.value.param) == (400, "prompt")


async def test_a_wrong_key_is_refused(relay: Relayed, ask: Ask) -> None:
    with pytest.raises(Refusal) as refused:
        await ask(relay, prompt := new_prompt(), key=WRONG_KEY)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert await relay.tasks(prompt) == []


@pytest.mark.parametrize("after", [0, 100])
async def test_an_answer_that_is_cut_off_is_given_again_and_paid_once(relay: Relayed, ask: Ask, after: int) -> None:
    relay.scissors.cut_next(after=after)
    [item] = await ask(relay, prompt := new_prompt(), cuttable=True)
    assert look(await fetched(item.url)) == ("PNG", (1024, 1024))
    assert await relay.bill("yescale", prompt) == (1, 1)


async def test_a_line_that_is_cut_during_the_wait_loses_no_picture_and_pays_for_none_twice(relay: Relayed, ask: Ask) -> None:
    prompt = new_prompt("sandbox:slow=2")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask(relay, prompt, cuttable=True), name="asking")
        while (await relay.bill("yescale", prompt))[0] == 0:
            await asyncio.sleep(0.05)
        relay.scissors.cut_now()
    assert look(await fetched(asking.result()[0].url)) == ("PNG", (1024, 1024))
    assert await relay.bill("yescale", prompt) == (1, 1)


async def test_what_takes_too_long_is_told_once_and_asking_again_pays_nothing(tmp_path: Path) -> None:
    async with open_relay(tmp_path, RELAY_DROPIN_YESCALE_HOLD="1s") as relay:
        for ask in (ask_by_python, ask_by_node):
            prompt = new_prompt("sandbox:slow=3")
            with pytest.raises(Refusal) as refused:
                await ask(relay, prompt)
            task = await relay.task(prompt)
            assert refused.value.status == 504
            assert task["id"] in refused.value.message
            [item] = await ask(relay, prompt)
            assert [item.url] == [image["url"] for image in task["images"]]
            assert await relay.bill("yescale", prompt) == (1, 1)


async def test_models_are_listed(relay: Relayed) -> None:
    async with AsyncOpenAI(api_key=ADMIN_KEY, base_url=f"{relay.base('yescale')}/v1") as client:
        names = [model.id async for model in client.models.list()]
        assert "flux-pro" in names
        assert (await client.models.retrieve("flux-pro")).object == "model"
        with pytest.raises(APIStatusError) as refused:
            await client.models.retrieve("gpt-4")
    assert refused.value.status_code == 404


async def test_the_pages_curl_sample_gets_a_link(relay: Relayed) -> None:
    ran = await relay.run("yescale.sh", "yescale", instead={PAGE_ORDER: json.dumps(prompt := new_prompt())})
    answer = json.loads(ran.stdout)
    assert list(answer) == ["created", "data"]
    assert list(answer["data"][0]) == ["b64_json", "revised_prompt", "url"]
    assert (await relay.task(prompt))["status"] == "succeeded"


async def test_the_callback_is_the_answer_with_both_kinds_of_proof(relay: Relayed) -> None:
    prompt = new_prompt()
    [item] = await ask_by_python(relay, prompt, extra_headers={"X-Relay-Callback": relay.hook}, extra_body={"webhook_secret": "s3cret"})
    headers, body = (await relay.told(item.url or "?"))[0]
    assert [picture["url"] for picture in json.loads(body)["data"]] == [item.url]
    assert headers["x-webhook-secret"] == "s3cret"
    task = await relay.task(prompt)
    Webhook(await relay.signing_secret(task["id"])).verify(body, headers)
