"""Clients of Serevix and of Black Forest Labs, with nothing changed but base URL and key: the gateway's own sample, and a poller that
follows `polling_url`."""

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from standardwebhooks.webhooks import Webhook

from tests.clients.bfl import NotMade, Poller
from tests.clients.relayed import Relayed, new_prompt
from tests.e2e.harness import ADMIN_KEY
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio

BEARER = {"authorization": f"Bearer {ADMIN_KEY}"}
SUBMIT_PATH = "/flux/v1"
Submit = Callable[..., Awaitable[dict[str, Any]]]


def poller_at(relay: Relayed, headers: dict[str, str] = BEARER, *, cuttable: bool = False) -> Poller:
    return Poller(relay.base("serevix", cuttable=cuttable) + SUBMIT_PATH, headers)


async def submit_by_curl(relay: Relayed, prompt: str, *, width: int = 1024, key: str = ADMIN_KEY, cuttable: bool = False) -> dict[str, Any]:
    """The gateway's sample. An empty body where the line was cut."""
    ran = await relay.run("serevix.sh", "serevix", instead={"draw a rainbow": prompt, "1024": str(width)}, key=key, cuttable=cuttable)
    assert (ran.returncode == 0) is not cuttable, ran.stderr
    return dict(json.loads(ran.stdout)) if ran.stdout else {}


def submitting(header: str, scheme: str = "") -> Submit:
    async def submit(relay: Relayed, prompt: str, *, width: int = 1024, key: str = ADMIN_KEY, cuttable: bool = False) -> dict[str, Any]:
        """The poller's. The body of an error; an empty one where the line was cut."""
        poller = poller_at(relay, {header: scheme + key}, cuttable=cuttable)
        try:
            return await poller.submit("flux-pro-1.1", prompt=prompt, width=width, height=768)
        except httpx.HTTPStatusError as exc:
            return dict(exc.response.json())
        except httpx.TransportError:
            return {}

    return submit


CLIENTS: dict[str, Submit] = {
    "the gateway's curl sample": submit_by_curl, "a poller with x-key": submitting("x-key"),
    "a poller with a Bearer key": submitting("authorization", "Bearer "),
}
each_client = pytest.mark.parametrize("submit", CLIENTS.values(), ids=CLIENTS)


@each_client
async def test_a_picture_is_made_and_found_without_a_key(relay: Relayed, submit: Submit) -> None:
    prompt = new_prompt()
    submitted = await submit(relay, prompt)
    assert list(submitted) == ["id", "polling_url"]
    poller = poller_at(relay)
    body = await poller.follow(submitted)
    assert set(poller.seen) <= {"Pending", "Ready"}
    assert (body["id"], body["status"], body["result"]["prompt"]) == (submitted["id"], "Ready", prompt)
    assert list(body["result"]) == ["sample", "prompt", "start_time", "end_time", "duration"]
    assert look(await poller.picture(body)) == ("JPEG", (1024, 768))
    assert await relay.bill("serevix", prompt) == (1, 1)
    (task,) = await relay.tasks(prompt)
    assert (task["id"], task["provider"], task["model"], task["input"]["width"]) == (submitted["id"], "serevix", "flux-pro-1.1", 1024)


@each_client
async def test_a_picture_that_is_moderated_ends_the_polling_at_once(relay: Relayed, submit: Submit) -> None:
    submitted = await submit(relay, new_prompt("sandbox:moderated"))
    with pytest.raises(NotMade) as caught:
        await poller_at(relay).follow(submitted)
    assert caught.value.body == {
        "id": submitted["id"], "status": "Content Moderated", "result": None, "details": {"Moderation Reasons": ["Safety Filter"]}}


@each_client
async def test_a_generation_that_fails_is_an_error(relay: Relayed, submit: Submit) -> None:
    submitted = await submit(relay, new_prompt("sandbox:error"))
    with pytest.raises(NotMade) as caught:
        await poller_at(relay).follow(submitted)
    assert caught.value.body == {
        "id": submitted["id"], "status": "Error", "result": None, "details": {"error": "The generation failed"}}


async def test_what_nobody_knows_the_outcome_of_is_no_error_of_the_submission_which_would_be_repeated(relay: Relayed) -> None:
    submitted = await poller_at(relay).submit("flux-pro-1.1", prompt=(prompt := new_prompt("sandbox:drop-answer")))
    with pytest.raises(NotMade) as caught:
        await poller_at(relay).follow(submitted)
    assert caught.value.body["status"] == "Error"
    assert "never sent twice" in caught.value.body["details"]["error"]
    assert await relay.bill("serevix", prompt) == (1, 1)


@each_client
async def test_a_wrong_value_is_refused_with_its_place_and_never_sent(relay: Relayed, submit: Submit) -> None:
    prompt = new_prompt()
    body = await submit(relay, prompt, width=1000)
    (problem,) = body["detail"]
    assert (problem["loc"], problem["type"]) == (["body", "width"], "value_error")
    assert "multiple of 32" in problem["msg"]
    assert await relay.bill("serevix", prompt) == (0, 0)
    assert await relay.tasks(prompt) == []


@each_client
async def test_a_wrong_key_is_refused(relay: Relayed, submit: Submit) -> None:
    prompt = new_prompt()
    assert await submit(relay, prompt, key="rly_" + "x" * 36) == {"detail": "Not authenticated - Invalid Authentication"}
    assert await relay.bill("serevix", prompt) == (0, 0)


@each_client
async def test_an_empty_account_is_told_at_once(relay: Relayed, submit: Submit) -> None:
    prompt = new_prompt("sandbox:no-credits")
    assert await submit(relay, prompt) == {"detail": "Insufficient credits"}
    assert await relay.bill("serevix", prompt) == (1, 0)


@each_client
async def test_a_slow_picture_is_waited_for(relay: Relayed, submit: Submit) -> None:
    prompt = new_prompt("sandbox:slow=2.5")
    poller = poller_at(relay)
    assert (await poller.follow(await submit(relay, prompt)))["status"] == "Ready"
    assert poller.seen.count("Pending") > 1
    assert await relay.bill("serevix", prompt) == (1, 1)


@each_client
async def test_a_line_that_is_cut_before_the_answer_loses_no_picture(relay: Relayed, submit: Submit) -> None:
    prompt = new_prompt()
    relay.scissors.cut_next()
    assert await submit(relay, prompt, cuttable=True) == {}
    task = await relay.task(prompt)
    assert (task["status"], len(task["images"])) == ("succeeded", 1)
    assert await relay.bill("serevix", prompt) == (1, 1)


@each_client
async def test_who_lost_the_line_and_asks_again_is_given_the_same_picture(relay: Relayed, submit: Submit) -> None:
    """The provider refuses once, so the app still waits for its id when the line is cut."""
    prompt = new_prompt("sandbox:rate-limit=1")
    asking = asyncio.ensure_future(submit(relay, prompt, cuttable=True))
    await relay.has_task(prompt)
    relay.scissors.cut_now()
    assert await asking == {}
    submitted = await submit(relay, prompt)
    assert (await poller_at(relay).follow(submitted))["status"] == "Ready"
    assert [task["id"] for task in await relay.tasks(prompt)] == [submitted["id"]]
    assert await relay.bill("serevix", prompt) == (2, 1)


async def test_equal_requests_are_as_many_pictures(relay: Relayed) -> None:
    prompt = new_prompt()
    four = await asyncio.gather(*(poller_at(relay).submit("flux-pro-1.1", prompt=prompt) for _ in range(4)))
    later = await poller_at(relay).submit("flux-pro-1.1", prompt=prompt)
    assert len({submitted["id"] for submitted in [*four, later]}) == 5
    for submitted in [*four, later]:
        await poller_at(relay).follow(submitted)
    assert await relay.bill("serevix", prompt) == (5, 5)


async def test_who_still_waits_shares_with_nobody(relay: Relayed) -> None:
    """The provider refuses the first one once, so that app still waits for its id when the other comes."""
    prompt = new_prompt("sandbox:rate-limit=1")
    asking = asyncio.ensure_future(poller_at(relay).submit("flux-pro-1.1", prompt=prompt))
    await relay.has_task(prompt)
    other = await poller_at(relay).submit("flux-pro-1.1", prompt=prompt)
    assert (await asking)["id"] != other["id"]
    for submitted in (asking.result(), other):
        await poller_at(relay).follow(submitted)
    assert await relay.bill("serevix", prompt) == (3, 2)


async def test_every_field_of_the_page_goes_through_and_those_of_the_family_too(relay: Relayed) -> None:
    image = io.BytesIO()
    Image.new("RGB", (8, 8), "navy").save(image, "PNG")
    fields: dict[str, Any] = {"width": 512, "height": 256, "prompt_upsampling": True, "seed": 42, "output_format": "png"}
    submitted = await poller_at(relay).submit(
        "flux-dev", prompt=(prompt := new_prompt()), image_prompt=base64.encodebytes(image.getvalue()).decode(), **fields,
        steps=20, guidance=2.5, safety_tolerance=6, finetune_id=None)
    body = await poller_at(relay).follow(submitted)
    assert (body["result"]["seed"], look(await poller_at(relay).picture(body))) == (42, ("PNG", (512, 256)))
    (task,) = await relay.tasks(prompt)
    assert (task["model"], task["input"].pop("options")) == ("flux-dev", {"steps": 20, "guidance": 2.5, "safety_tolerance": 6})
    async with httpx.AsyncClient() as client:
        assert (await client.get(task["input"].pop("image"))).content == image.getvalue()
    assert task["input"] == fields


async def test_a_line_that_is_cut_while_polling_is_only_a_poll(relay: Relayed) -> None:
    submitted = await poller_at(relay, cuttable=True).submit("flux-pro-1.1", prompt=new_prompt("sandbox:slow=1"))
    there = urlsplit(relay.scissors.url).netloc
    cuttable = {**submitted, "polling_url": urlsplit(submitted["polling_url"])._replace(netloc=there).geturl() + "&wait=10"}
    relay.scissors.cut_next(after=20)
    with pytest.raises(httpx.TransportError):
        await poller_at(relay).follow(cuttable)
    assert (await poller_at(relay).follow(cuttable))["status"] == "Ready"


async def test_a_repeat_with_the_same_idempotency_key_is_the_same_task(relay: Relayed) -> None:
    prompt = new_prompt()
    headers = {**BEARER, "idempotency-key": uuid4().hex}
    relay.scissors.cut_next()
    with pytest.raises(httpx.TransportError):
        await poller_at(relay, headers, cuttable=True).submit("flux-pro-1.1", prompt=prompt)
    submitted = await poller_at(relay, headers, cuttable=True).submit("flux-pro-1.1", prompt=prompt)
    assert (await poller_at(relay).follow(submitted))["status"] == "Ready"
    assert [task["id"] for task in await relay.tasks(prompt)] == [submitted["id"]]
    assert await relay.bill("serevix", prompt) == (1, 1)


@pytest.mark.parametrize(("words", "status"), [("a rainbow", "Ready"), ("sandbox:moderated", "Content Moderated")])
async def test_the_callback_has_the_shape_of_a_result_and_both_kinds_of_proof(relay: Relayed, words: str, status: str) -> None:
    prompt, hook = new_prompt(words), f"{relay.hook}/serevix"
    submitted = await poller_at(relay).submit("flux-pro-1.1", prompt=prompt, seed=7, webhook_url=hook, webhook_secret="s3cret-of-the-app!")
    assert (submitted["status"], submitted["webhook_url"]) == ("Pending", hook)
    ((headers, body),) = await relay.told(submitted["id"])
    told = json.loads(body)
    assert (told["id"], told["status"]) == (submitted["id"], status)
    if status == "Ready":
        assert (told["result"]["prompt"], told["result"]["seed"]) == (prompt, 7)
        assert look(await poller_at(relay).picture(told)) == ("JPEG", (1024, 768))
    assert headers["x-webhook-secret"] == "s3cret-of-the-app!"
    Webhook(await relay.signing_secret(submitted["id"])).verify(body, headers)
    async with httpx.AsyncClient() as client:  # a client that polls although it will be called has all that it needs
        assert (await client.get(submitted["polling_url"])).json()["status"] == status


async def test_an_app_that_only_polls_is_called_back_by_a_subscription_of_its_operator(relay: Relayed) -> None:
    await relay.api.subscribe(f"{relay.hook}/operator", format="provider", providers=["serevix"])
    submitted = await submit_by_curl(relay, new_prompt())
    ((_, body),) = await relay.told(submitted["id"])
    told = json.loads(body)
    assert (told["id"], told["status"]) == (submitted["id"], "Ready")


async def test_a_result_is_found_by_its_id_with_a_key_and_by_its_link_without_one_but_not_otherwise(relay: Relayed) -> None:
    submitted = await poller_at(relay).submit("flux-pro-1.1", prompt=new_prompt())
    await poller_at(relay).follow(submitted)
    url, query = f"{relay.base('serevix')}/flux/v1/get_result", parse_qs(urlsplit(submitted["polling_url"]).query)
    async with httpx.AsyncClient() as client:
        async def ask(headers: dict[str, str], **params: str) -> tuple[int, Any]:
            answer = await client.get(url, params=params, headers=headers)
            return answer.status_code, answer.json().get("status") or answer.json()["detail"]

        assert await ask({"x-key": ADMIN_KEY}, id=submitted["id"]) == (200, "Ready")
        assert await ask(BEARER, id=submitted["id"]) == (200, "Ready")
        added = (await client.get(f"{submitted['polling_url']}&id={submitted['id']}")).json()
        assert added["status"] == "Ready"
        denied = (401, "Not authenticated - Invalid Authentication")
        assert await ask({}, id=submitted["id"]) == denied
        assert await ask({}, id=submitted["id"], token=query["token"][0][:-1] + "x") == denied
        assert await ask({}, id="task_0000000000000000000000", token=query["token"][0]) == denied
        assert await ask(BEARER, id="1981b99c-a825-4d19-adc6-7dda6118c4ea") == (404, "Task not found")
        assert (await ask(BEARER))[0] == 422


async def test_a_client_that_keeps_no_path_finds_it_at_a_host_name_of_its_own(relay: Relayed) -> None:
    origin = relay.url.replace("127.0.0.1", "localhost")
    for path in ("/flux/v1", "/v1"):
        poller = Poller(origin + path, {"x-key": ADMIN_KEY})
        submitted = await poller.submit("flux-pro-1.1", prompt=new_prompt())
        assert submitted["polling_url"].startswith(origin + "/flux/v1/get_result?")
        assert (await poller.follow(submitted))["status"] == "Ready"


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/flux/v1/flux-pro-1.1", 405), ("POST", "/flux/v1/get_result", 405), ("POST", "/flux/v2/flux-pro-1.1", 404), ("GET", "/", 404)])
async def test_what_is_not_there_is_refused_in_the_gateways_words(relay: Relayed, method: str, path: str, status: int) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.request(method, relay.base("serevix") + path, headers=BEARER)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"prompt": "\xff"}'], ids=str)
async def test_what_is_no_json_is_refused_in_the_gateways_words(relay: Relayed, body: bytes) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            relay.base("serevix") + "/flux/v1/flux-pro-1.1", content=body, headers={**BEARER, "content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == "json_invalid"
