"""Clients of Segmind, with nothing changed but base URL and key: the page's axios sample (its values through String(), as form-data wants
them), and the official SDK with both versions of the API."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from msgspec import Struct
from segmind import InferenceFailed, SegmindClient, SegmindError  # type: ignore[import-untyped]
from standardwebhooks.webhooks import Webhook

from tests.clients.relayed import Relayed, new_prompt
from tests.e2e.harness import ADMIN_KEY
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio

MODEL = "flux-1.1-pro"
PROMPT = ("A photo of an astronaut with a mirrored helmet standing in a field of sunflowers. The spacesuit has a NASA logo on it. "
          "The astronaut is covered in dirt and has vines wrapped around his body. The sky is dark and cloudy.")
LAST = '"prompt_upsampling": false'
PRINTED = "console.log(response.data)"
READ = "console.log(JSON.stringify({headers: response.headers, begins: response.data.slice(0, 4)}))"
COMPLAINED = "console.error('Error:', error.response ? error.response.data : error.message)"
COMPLAINT = "console.log(JSON.stringify({status: error.response?.status, ...error.response?.data}))"
WRONG_KEY = "rly_" + "x" * 36
SECRET = "s3cret-of-the-app!"
NO_PICTURE_YET = 422  # what version 2 answers to who asks about a failure


class Refusal(Exception):
    """What a client had to say about an answer that is no picture. `status`: None where version 2 told it of a task."""

    def __init__(self, status: int | None, error: str | None) -> None:
        self.status = status
        self.error = error
        super().__init__(status, error)


class NoAnswer(Exception):
    """The line was cut."""


class Made(Struct):
    """What a client got. `headers` are those of version 1."""

    request_id: str
    begins: str
    headers: dict[str, str] = {}


Ask = Callable[..., Awaitable[Made]]


async def ask_by_axios(relay: Relayed, prompt: str, *, key: str = ADMIN_KEY, cuttable: bool = False, **fields: Any) -> Made:
    """The page's sample, with more fields behind its last, and printing what an app reads."""
    instead = {PROMPT: prompt, LAST: json.dumps({"prompt_upsampling": False, **fields})[1:-1], PRINTED: READ, COMPLAINED: COMPLAINT}
    ran = await relay.run("segmind.js", "segmind", instead=instead, key=key, cuttable=cuttable)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    if "begins" in answer:
        return Made(request_id=answer["headers"]["x-request-id"], begins=answer["begins"][1:], headers=answer["headers"])
    if "status" not in answer:
        raise NoAnswer
    raise Refusal(answer["status"], answer["error"])


@contextmanager
def sdk(relay: Relayed, key: str = ADMIN_KEY, *, cuttable: bool = False, timeout: float = 30.0) -> Iterator[SegmindClient]:
    client = SegmindClient(api_key=key, base_url=relay.base("segmind", cuttable=cuttable) + "/v1", timeout=timeout)
    try:
        yield client
    except httpx.TransportError as exc:
        raise NoAnswer from exc
    except InferenceFailed as exc:
        raise Refusal(None, exc.detail) from exc
    except SegmindError as exc:
        raise Refusal(exc.status, exc.detail) from exc
    finally:
        client._client.close()  # noqa: SLF001 -- it has no other way


async def ask_by_run_sync(relay: Relayed, prompt: str, *, key: str = ADMIN_KEY, cuttable: bool = False, timeout: float = 30.0,
                          **fields: Any) -> Made:
    with sdk(relay, key, cuttable=cuttable, timeout=timeout) as client:
        answer = await asyncio.to_thread(client.run_sync, MODEL, prompt=prompt, **{"output_format": "png", **fields})
    assert look(answer.content)[0] == "PNG"
    return Made(request_id=answer.headers["x-request-id"], begins=answer.content[1:4].decode(), headers=dict(answer.headers))


async def ask_by_run(relay: Relayed, prompt: str, *, key: str = ADMIN_KEY, cuttable: bool = False, **fields: Any) -> Made:
    with sdk(relay, key, cuttable=cuttable) as client:
        result = await asyncio.to_thread(client.run, MODEL, prompt=prompt, **{"output_format": "png", **fields})
    assert result["status"] == "COMPLETED"
    assert result["metrics"]["inference_time"] > 0
    async with httpx.AsyncClient() as stranger:
        picture = (await stranger.get(result["output"])).raise_for_status().content
    assert look(picture)[0] == "PNG"
    return Made(request_id=result["request_id"], begins=picture[1:4].decode())


CLIENTS: dict[str, Ask] = {"axios and a form": ask_by_axios, "the SDK's run_sync": ask_by_run_sync, "the SDK's run": ask_by_run}
each_client = pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
each_held = pytest.mark.parametrize("ask", [ask_by_axios, ask_by_run_sync], ids=list(CLIENTS)[:2])


@each_client
async def test_a_picture_is_made_once(relay: Relayed, ask: Ask) -> None:
    made = await ask(relay, prompt := new_prompt())
    assert made.begins.startswith("PNG")
    assert await relay.bill("segmind", prompt) == (1, 1)
    (task,) = await relay.tasks(prompt)
    assert (task["id"], task["provider"], task["model"], task["status"]) == (made.request_id, "segmind", MODEL, "succeeded")


@each_held
async def test_the_headers_of_a_picture_are_segminds(relay: Relayed, ask: Ask) -> None:
    made = await ask(relay, new_prompt())
    assert made.headers["content-type"] == "image/png"
    assert (made.headers["x-request-id"], made.headers["x-relay-task-id"]) == (made.request_id, made.request_id)
    assert 0 < float(made.headers["x-remaining-credits"]) < 1000
    assert float(made.headers["x-cost"]) == 0.04
    assert float(made.headers["x-generation-time"]) > 0


async def test_the_sample_means_here_what_it_means_at_segmind(relay: Relayed) -> None:
    made = await ask_by_axios(relay, prompt := new_prompt(), seed=7)
    (task,) = await relay.tasks(prompt)
    assert task["input"] == {
        "seed": 7, "aspect_ratio": "1:1", "output_format": "png", "safety_tolerance": 2, "prompt_upsampling": False,
        "options": {"width": 1024, "height": 1024, "output_quality": 80}}
    assert made.headers["x-seed-value"] == "7"


async def test_a_custom_ratio_has_the_size_that_was_asked_for(relay: Relayed) -> None:
    with sdk(relay) as client:
        answer = await asyncio.to_thread(client.run_sync, MODEL, prompt=new_prompt(), aspect_ratio="custom", width=512, height="256",
                                         output_format="jpg", prompt_upsampling="false")
    assert (answer.headers["content-type"], look(answer.content)) == ("image/jpeg", ("JPEG", (512, 256)))


@each_client
@pytest.mark.parametrize(("words", "status", "error"), [
    ("sandbox:moderated", 406, "Invalid prompt: NSFW content detected"), ("sandbox:error", 500, "Server had some issue with processing"),
])
async def test_a_failure_says_why(relay: Relayed, ask: Ask, words: str, status: int, error: str) -> None:
    with pytest.raises(Refusal) as caught:
        await ask(relay, prompt := new_prompt(words))
    assert (caught.value.status, caught.value.error) == (None if ask is ask_by_run else status, error)
    assert await relay.bill("segmind", prompt) == (1, 0)


@each_client
@pytest.mark.parametrize(("fields", "error"), [
    ({"output_quality": 101}, "output_quality must be an integer from 0 to 100, not 101"),
    ({"seed": "seven"}, "seed must be an integer, not 'seven'"),
    ({"webhook_url": "ftp://app.example/"}, "webhook_url "),
], ids=["range", "type", "callback"])
async def test_a_wrong_value_is_refused_by_its_name_and_never_sent(relay: Relayed, ask: Ask, fields: dict[str, Any], error: str) -> None:
    with pytest.raises(Refusal) as caught:
        await ask(relay, prompt := new_prompt(), **fields)
    assert caught.value.status == 406
    assert (caught.value.error or "").startswith(f"Invalid parameter: {error}")
    assert await relay.bill("segmind", prompt) == (0, 0)


@each_client
async def test_a_wrong_key_is_refused(relay: Relayed, ask: Ask) -> None:
    with pytest.raises(Refusal) as caught:
        await ask(relay, prompt := new_prompt(), key=WRONG_KEY)
    assert (caught.value.status, caught.value.error) == (401, "unauthorized")
    assert await relay.bill("segmind", prompt) == (0, 0)


@each_client
async def test_an_empty_account_is_told_at_once(relay: Relayed, ask: Ask) -> None:
    with pytest.raises(Refusal) as caught:
        await ask(relay, prompt := new_prompt("sandbox:no-credits"))
    assert caught.value.error == "Not enough credits"
    assert caught.value.status == 406 or ask is ask_by_run  # which hears of it in the status, if Segmind takes longer than a second
    assert await relay.bill("segmind", prompt) == (1, 0)


@each_client
async def test_a_slow_picture_is_waited_for(relay: Relayed, ask: Ask) -> None:
    made = await ask(relay, prompt := new_prompt("sandbox:slow=2.5"))
    assert made.begins.startswith("PNG")
    assert await relay.bill("segmind", prompt) == (1, 1)


@each_client
@pytest.mark.parametrize("after", [0, 50], ids=["before the answer", "in its middle"])
async def test_a_line_that_is_cut_loses_no_picture(relay: Relayed, ask: Ask, after: int) -> None:
    relay.scissors.cut_next(after=after)
    with pytest.raises(NoAnswer):
        await ask(relay, prompt := new_prompt(), cuttable=True, webhook_url=f"{relay.hook}/cut")
    task = await relay.task(prompt)
    assert (task["status"], len(task["images"])) == ("succeeded", 1)
    assert await relay.bill("segmind", prompt) == (1, 1)
    ((_, body),) = await relay.told(task["id"])
    assert (json.loads(body)["request_id"], json.loads(body)["status"]) == (task["id"], "COMPLETED")


async def test_who_gave_up_waiting_gets_the_same_picture_when_it_asks_again(relay: Relayed) -> None:
    prompt = new_prompt("sandbox:slow=3")
    with pytest.raises(NoAnswer):
        await ask_by_run_sync(relay, prompt, timeout=0.5)
    made = await ask_by_run_sync(relay, prompt)
    assert await relay.bill("segmind", prompt) == (1, 1)
    assert [task["id"] for task in await relay.tasks(prompt)] == [made.request_id]


async def test_four_equal_prompts_at_once_are_four_pictures(relay: Relayed) -> None:
    prompt = new_prompt("sandbox:slow=1")
    made = await asyncio.gather(*(ask_by_run_sync(relay, prompt) for _ in range(4)))
    assert len({one.request_id for one in made}) == 4
    assert await relay.bill("segmind", prompt) == (4, 4)


async def test_the_steps_of_version_2_are_segminds(relay: Relayed) -> None:
    with sdk(relay) as client:
        job = await asyncio.to_thread(client.submit_async, MODEL, prompt=new_prompt("sandbox:slow=4"))
        base = relay.base("segmind")
        assert list(job.submit_response) == ["request_id", "status", "poll_url", "status_url", "response_url"]
        assert job.submit_response["status"] == "QUEUED"
        assert job.submit_response["poll_url"].startswith(f"{base}/v1/requests/{job.request_id}?")
        assert job.status_url.startswith(f"{base}/v2/requests/{job.request_id}/status?")
        assert job.response_url.startswith(f"{base}/v2/requests/{job.request_id}?")
        running = await asyncio.to_thread(job.status)
        assert running == {"request_id": job.request_id, "status": running["status"], "status_url": job.status_url,
                           "response_url": job.response_url, "metrics": {**running["metrics"]}}
        assert running["status"] in ("QUEUED", "PROCESSING")
        assert await asyncio.to_thread(job.result) == running
        result = await asyncio.to_thread(job.wait, 20, 0.2)
        ended = await asyncio.to_thread(job.status)
    assert list(result) == ["request_id", "status", "output", "metrics"]
    assert ended == {name: value for name, value in result.items() if name != "output"}
    assert {"cost", "queue_time", "inference_time", "total_time", "remaining_credits"} == set(result["metrics"])


async def test_the_links_of_version_2_want_no_key_and_its_ids_do(relay: Relayed) -> None:
    with sdk(relay) as client:
        job = await asyncio.to_thread(client.submit_async, MODEL, prompt=new_prompt())
        await asyncio.to_thread(job.wait, 20, 0.2)
    paths = [f"/v1/requests/{job.request_id}", f"/v2/requests/{job.request_id}", f"/v2/requests/{job.request_id}/status"]
    another = await relay.key_of_another("segmind")
    async with httpx.AsyncClient(base_url=relay.base("segmind")) as client:
        for link in (job.submit_response["poll_url"], job.status_url, job.response_url):
            assert (await client.get(link)).json()["status"] == "COMPLETED"
            assert (await client.get(link[:-1])).status_code == 401
        for path in paths:
            assert [(await client.get(path, headers=headers)).status_code
                    for headers in ({}, {"x-api-key": WRONG_KEY}, {"x-api-key": another}, {"x-api-key": ADMIN_KEY})] == [401, 401, 404, 200]
        missing = await client.get("/v2/requests/nobody's/status", headers={"x-api-key": ADMIN_KEY})
    assert (missing.status_code, list(missing.json())) == (404, ["error"])


async def test_a_failure_of_version_2_is_told_under_422(relay: Relayed) -> None:
    with sdk(relay) as client:
        job = await asyncio.to_thread(client.submit_async, MODEL, prompt=new_prompt("sandbox:moderated"))
        async with asyncio.timeout(20):
            while (told := await asyncio.to_thread(job.result))["status"] != "FAILED":
                await asyncio.sleep(0.1)
    assert list(told) == ["request_id", "status", "error", "metrics"]
    async with httpx.AsyncClient() as stranger:
        answers = [await stranger.get(link) for link in (job.status_url, job.response_url)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(NO_PICTURE_YET, told)] * 2


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("words", "status"), [("", "COMPLETED"), ("sandbox:moderated", "FAILED")])
async def test_the_callback_is_a_result_with_both_kinds_of_proof(relay: Relayed, version: str, words: str, status: str) -> None:
    prompt, hook = new_prompt(words), f"{relay.hook}/segmind"
    async with httpx.AsyncClient(headers={"x-api-key": ADMIN_KEY}, timeout=40) as client:
        await client.post(f"{relay.base('segmind')}/{version}/{MODEL}", json={
            "prompt": prompt, "webhook_url": hook, "webhook_secret": SECRET})
        task = await relay.task(prompt)
        ((headers, body),) = await relay.told(task["id"])
        result = (await client.get(f"{relay.base('segmind')}/v2/requests/{task['id']}")).json()
    told = json.loads(body)
    result["metrics"].pop("remaining_credits", None)
    assert (told["status"], set(told)) == (status, set(result))
    assert {name: told[name] for name in told if name != "output"} == {name: result[name] for name in result if name != "output"}
    assert headers["x-webhook-secret"] == SECRET
    Webhook(await relay.signing_secret(task["id"])).verify(body, headers)


async def test_where_to_call_back_may_stand_in_a_header(relay: Relayed) -> None:
    prompt = new_prompt()
    async with httpx.AsyncClient(headers={"x-api-key": ADMIN_KEY, "x-relay-callback": f"{relay.hook}/header"}, timeout=40) as client:
        answer = await client.post(f"{relay.base('segmind')}/v1/{MODEL}", data={"prompt": prompt}, files={"nothing": b""})
    assert answer.status_code == 200
    ((_, body),) = await relay.told(answer.headers["x-request-id"])
    assert json.loads(body)["status"] == "COMPLETED"


JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na bird\r\n'


@pytest.mark.parametrize(("method", "path", "headers", "body"), [
    ("POST", f"/v1/{MODEL}", JSON, b"{}"), ("POST", f"/v1/{MODEL}", JSON, b'{"prompt": "a", "width": 1}'),
    ("POST", f"/v1/{MODEL}", JSON, b'{"prompt": "a", "aspect_ratio": "wide", "output_format": "gif"}'),
    ("POST", f"/v1/{MODEL}", JSON, b'{"prompt": ["a"]}'), ("POST", f"/v1/{MODEL}", JSON, b"{"), ("POST", f"/v1/{MODEL}", JSON, b"[]"),
    ("POST", f"/v1/{MODEL}", JSON, b""), ("POST", f"/v1/{MODEL}", JSON, b'{"prompt": "\xff"}'),
    ("POST", f"/v1/{MODEL}", FORM, PART), ("POST", f"/v1/{MODEL}", {"content-type": "multipart/form-data"}, PART + b"--b--"),
    ("POST", f"/v1/{MODEL}", FORM, PART.replace(b"prompt", b"x") + b"--b--"),
    ("POST", f"/v1/{MODEL}", {"content-type": "text/plain"}, b"a bird"), ("POST", f"/v1/{MODEL}", {}, b"a bird"),
    ("GET", f"/v1/{MODEL}", {}, b""), ("DELETE", f"/v1/{MODEL}", {}, b""), ("POST", "/v1/flux-9", JSON, b'{"prompt": "a"}'),
    ("POST", "/v3", {}, b""), ("GET", "/", {}, b""), ("POST", f"/v1/{MODEL}", {"x-api-key": "bad", **JSON}, b'{"prompt": "a"}'),
    ("POST", f"/v1/{MODEL}", {"x-api-key": "", **JSON}, b'{"prompt": "a"}'),
], ids=str)
async def test_what_is_wrong_is_refused_as_segminds_stand_in_refuses_it(relay: Relayed, method: str, path: str, headers: dict[str, str],
                                                                       body: bytes) -> None:
    async with httpx.AsyncClient(headers={"x-api-key": ADMIN_KEY}) as client:
        theirs, ours = [await client.request(method, base + path, headers=headers, content=body)
                        for base in (f"{relay.url}/segmind", relay.base("segmind"))]
    assert ours.status_code == theirs.status_code >= 400
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    if theirs.status_code == 405:
        assert ours.content == theirs.content
    else:
        assert list(ours.json()) == list(theirs.json())


async def test_an_app_that_only_waits_is_called_back_by_a_subscription_of_its_operator(relay: Relayed) -> None:
    """The last test here, since the subscription hears of all that comes after it."""
    await relay.api.subscribe(f"{relay.hook}/operator", format="provider", providers=["segmind"])
    made = await ask_by_axios(relay, new_prompt())
    ((_, body),) = await relay.told(made.request_id)
    assert (json.loads(body)["request_id"], json.loads(body)["status"]) == (made.request_id, "COMPLETED")
