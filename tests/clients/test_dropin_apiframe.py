"""Clients of APIFRAME, with nothing changed but base URL and key: its page's axios sample, which submits, and its own Python package,
which fetches. That has no method for Flux."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest
from apiframe_python import ApiframeClient  # type: ignore[import-untyped]
from standardwebhooks.webhooks import Webhook

from tests.clients.relayed import Relayed, new_prompt
from tests.e2e.harness import ADMIN_KEY
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio

PROMPT = "a sunflower field in the wind"
MODEL = '"model": "flux-pro"'
PRINTED = "console.log(error)"
READ = "console.log(JSON.stringify({status: error.response?.status, ...error.response?.data}))"
WRONG_KEY = "rly_" + "x" * 36
SECRET = "s3cret-of-the-app!"


class Refusal(Exception):
    """What the sample had to say about an answer that is none; without a status if no answer came."""

    def __init__(self, status: int | None = None, errors: Sequence[Mapping[str, str]] = ()) -> None:
        self.status = status
        self.messages = [error["msg"] for error in errors]
        super().__init__(status, self.messages)


async def submit(relay: Relayed, prompt: str, *, key: str = ADMIN_KEY, cuttable: bool = False, **fields: Any) -> dict[str, Any]:
    """The sample of APIFRAME's page, with more fields beside its model, and printing of an error what an app reads. Raises Refusal."""
    instead = {PROMPT: prompt, MODEL: json.dumps({"model": "flux-pro", **fields})[1:-1], PRINTED: READ}
    ran = await relay.run("apiframe.js", "apiframe", instead=instead, key=key, cuttable=cuttable)
    assert ran.returncode == 0, ran.stderr
    answer = dict(json.loads(ran.stdout))
    if "task_id" not in answer:
        raise Refusal(**answer)
    return answer


def client_of(relay: Relayed, key: str = ADMIN_KEY, *, cuttable: bool = False) -> Any:
    client = ApiframeClient(key)
    client.base_url = relay.base("apiframe", cuttable=cuttable)
    return client


async def ask(method: Callable[..., Any], *arguments: Any) -> Any:
    """The package waits for answers where it is called."""
    async with asyncio.timeout(30):
        return await asyncio.to_thread(method, *arguments)


async def ended(relay: Relayed, task_id: str, key: str = ADMIN_KEY) -> list[dict[str, Any]]:
    """What the package fetches of a task until it is at its end."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while not seen or seen[-1]["status"] not in ("finished", "failed"):
            seen.append(await ask(client_of(relay, key).fetch, task_id))
            await asyncio.sleep(0.1)
    return seen


async def picture_of(notice: Mapping[str, Any]) -> tuple[str | None, tuple[int, int]]:
    async with httpx.AsyncClient() as client:
        return look((await client.get(notice["image_url"])).raise_for_status().content)


@pytest.mark.parametrize("scheme", ["", "Bearer "], ids=["raw key", "Bearer"])
async def test_the_sample_gets_a_task_and_the_package_its_picture(relay: Relayed, scheme: str) -> None:
    prompt = new_prompt()
    submitted = await submit(relay, prompt, key=scheme + ADMIN_KEY)
    assert list(submitted) == ["task_id"]
    *running, end = await ended(relay, submitted["task_id"])
    assert all(list(notice) == ["task_id", "task_type", "status", "percentage"] for notice in running)
    assert all((notice["status"], notice["task_type"]) == ("processing", "flux-imagine") for notice in running)
    assert list(end) == ["task_id", "task_type", "status", "original_image_url", "image_url"]
    assert (end["task_id"], end["task_type"], end["status"]) == (submitted["task_id"], "flux-imagine", "finished")
    assert await picture_of(end) == ("PNG", (1024, 768))
    assert await relay.bill("apiframe", prompt) == (1, 1)
    (task,) = await relay.tasks(prompt)
    assert (task["id"], task["provider"], task["model"]) == (submitted["task_id"], "apiframe", "flux-pro")


async def test_every_field_of_the_page_goes_through(relay: Relayed) -> None:
    fields: dict[str, Any] = {"width": 512, "height": 256, "seed": 42, "steps": 20, "guidance": 2.5, "interval": 4, "safety_tolerance": 6,
                              "prompt_upsampling": False}
    submitted = await submit(relay, prompt := new_prompt(), **fields)
    (*_, end) = await ended(relay, submitted["task_id"])
    assert await picture_of(end) == ("PNG", (512, 256))
    (task,) = await relay.tasks(prompt)
    assert task["input"] == fields


@pytest.mark.parametrize(("words", "message"), [
    ("sandbox:moderated", "The prompt violates our content policy"), ("sandbox:error", "The generation failed")])
async def test_a_failure_says_so(relay: Relayed, words: str, message: str) -> None:
    submitted = await submit(relay, new_prompt(words))
    (*_, end) = await ended(relay, submitted["task_id"])
    assert end == {"task_id": submitted["task_id"], "task_type": "flux-imagine", "status": "failed", "message": message}


@pytest.mark.parametrize(("fields", "words"), [
    ({"width": 9999}, ["width must be an integer from 256 to 1440, not 9999"]),
    ({"height": "tall", "safety_tolerance": 7},
     ["height must be an integer from 256 to 1440, not 'tall'", "safety_tolerance must be an integer from 0 to 6, not 7"]),
    ({"model": "flux-9"}, ["model must be one of flux-pro-1.1, flux-pro-1.1-ultra, flux-pro, flux-dev, not 'flux-9'"]),
    ({"image_prompt": "***"}, ["image_prompt is not base64"]),
    ({"webhook_url": "ftp://app.example/"}, ["webhook_url "]),
    ({"webhook_url": "https://app.example/", "webhook_secret": "ü"}, ["webhook_secret "]),
    ({"prompt": None}, ["prompt is required"]),
], ids=str)
async def test_wrong_values_are_refused_by_their_names_and_never_sent(relay: Relayed, fields: dict[str, Any], words: list[str]) -> None:
    prompt = new_prompt()
    async with httpx.AsyncClient(headers={"authorization": ADMIN_KEY}) as client:
        answer = await client.post(relay.base("apiframe") + "/flux-imagine", json={"prompt": prompt, "model": "flux-pro", **fields})
    assert answer.status_code == 400
    messages = [error["msg"] for error in answer.json()["errors"]]
    assert all(message.startswith(word) for message, word in zip(messages, words, strict=True)), messages
    assert await relay.bill("apiframe", prompt) == (0, 0)


async def test_the_sample_shows_what_is_wrong(relay: Relayed) -> None:
    with pytest.raises(Refusal) as caught:
        await submit(relay, new_prompt(), width=9999)
    assert (caught.value.status, caught.value.messages) == (400, ["width must be an integer from 256 to 1440, not 9999"])


async def test_a_wrong_key_is_refused_without_words_as_documented(relay: Relayed) -> None:
    prompt = new_prompt()
    with pytest.raises(Refusal) as caught:
        await submit(relay, prompt, key=WRONG_KEY)
    assert (caught.value.status, caught.value.messages) == (401, [])
    assert await relay.bill("apiframe", prompt) == (0, 0)
    client = client_of(relay, WRONG_KEY)
    assert [await ask(client.fetch, "task_1"), await ask(client.fetch_many, ["a", "b"]), await ask(client.account)] == [{}, {}, {}]


async def test_an_empty_account_is_told_at_once(relay: Relayed) -> None:
    prompt = new_prompt("sandbox:no-credits")
    with pytest.raises(Refusal) as caught:
        await submit(relay, prompt)
    assert (caught.value.status, caught.value.messages) == (402, ["Not enough credits"])
    assert await relay.bill("apiframe", prompt) == (1, 0)


async def test_a_slow_picture_is_waited_for(relay: Relayed) -> None:
    submitted = await submit(relay, prompt := new_prompt("sandbox:slow=2.5"))
    seen = await ended(relay, submitted["task_id"])
    assert [notice["status"] for notice in seen].count("processing") > 1
    assert seen[-1]["status"] == "finished"
    assert await relay.bill("apiframe", prompt) == (1, 1)


async def test_a_line_that_is_cut_before_the_answer_loses_no_picture(relay: Relayed) -> None:
    prompt = new_prompt()
    relay.scissors.cut_next()
    with pytest.raises(Refusal) as caught:
        await submit(relay, prompt, cuttable=True, webhook_url=f"{relay.hook}/cut", webhook_secret=SECRET)
    assert caught.value.status is None
    task = await relay.task(prompt)
    assert (task["status"], len(task["images"])) == ("succeeded", 1)
    assert await relay.bill("apiframe", prompt) == (1, 1)
    ((headers, body),) = await relay.told(task["id"])
    assert (json.loads(body)["status"], headers["x-webhook-secret"]) == ("finished", SECRET)


async def test_a_line_that_is_cut_while_fetching_is_only_a_fetch(relay: Relayed, capsys: pytest.CaptureFixture[str]) -> None:
    submitted = await submit(relay, new_prompt())
    relay.scissors.cut_next(after=20)
    assert await ask(client_of(relay, cuttable=True).fetch, submitted["task_id"]) is None
    assert "[ERROR]" in capsys.readouterr().out
    assert (await ended(relay, submitted["task_id"]))[-1]["status"] == "finished"


async def test_many_are_fetched_in_their_order_and_what_is_not_there_is_left_out(relay: Relayed) -> None:
    first, second = [(await submit(relay, new_prompt()))["task_id"] for _ in range(2)]
    for task_id in (first, second):
        await ended(relay, task_id)
    found = await ask(client_of(relay).fetch_many, [second, "nobody's", first])
    assert [(notice["task_id"], notice["status"]) for notice in found["tasks"]] == [(second, "finished"), (first, "finished")]
    for wrong in ([first], [first] * 21, first):
        assert await ask(client_of(relay).fetch_many, wrong) == {"errors": [{"msg": "task_ids must be a list of 2 to 20 ids"}]}
    assert await ask(client_of(relay).fetch, "nobody's") == {"errors": [{"msg": "task_id must be the id of a task"}]}


async def test_tasks_of_others_are_not_there(relay: Relayed) -> None:
    submitted = await submit(relay, new_prompt())
    client = client_of(relay, await relay.key_of_another("apiframe"))
    assert await ask(client.fetch, submitted["task_id"]) == {"errors": [{"msg": "task_id must be the id of a task"}]}
    assert await ask(client.fetch_many, [submitted["task_id"]] * 2) == {"tasks": []}


async def test_the_account_counts_pictures_and_never_seems_empty(relay: Relayed) -> None:
    key = await relay.key_of_another("counted")
    for words in ("", "sandbox:error"):
        await ended(relay, (await submit(relay, new_prompt(words), key=key))["task_id"], key)
    account = await ask(client_of(relay, key).account)
    assert list(account) == ["email", "credits", "total_images", "plan"]
    assert (account["email"], account["total_images"]) == ("counted@relay.invalid", 1)
    assert account["credits"] > 0


async def test_what_apiframe_offers_beside_flux_is_refused_in_its_words(relay: Relayed) -> None:
    answer = await ask(client_of(relay).imagine, new_prompt())
    assert list(answer) == ["errors"]


@pytest.mark.parametrize(("words", "status"), [("", "finished"), ("sandbox:moderated", "failed")])
async def test_the_callback_has_apiframes_shape_and_both_kinds_of_proof(relay: Relayed, words: str, status: str) -> None:
    submitted = await submit(relay, new_prompt(words), webhook_url=f"{relay.hook}/apiframe", webhook_secret=SECRET)
    ((headers, body),) = await relay.told(submitted["task_id"])
    told = json.loads(body)
    assert told == (await ended(relay, submitted["task_id"]))[-1]
    assert (told["task_id"], told["status"]) == (submitted["task_id"], status)
    assert headers["x-webhook-secret"] == SECRET
    Webhook(await relay.signing_secret(submitted["task_id"])).verify(body, headers)


async def test_an_app_that_only_fetches_is_called_back_by_a_subscription_of_its_operator(relay: Relayed) -> None:
    await relay.api.subscribe(f"{relay.hook}/operator", format="provider", providers=["apiframe"], callback_secret=SECRET)
    submitted = await submit(relay, new_prompt())
    ((headers, body),) = await relay.told(submitted["task_id"])
    assert (json.loads(body)["task_id"], json.loads(body)["status"]) == (submitted["task_id"], "finished")
    assert headers["x-webhook-secret"] == SECRET
