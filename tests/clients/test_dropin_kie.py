"""Clients of Kie, with nothing changed but base URL and key: a request with every field of its page, and an app as its quickstart has
it, which submits and asks for the record. Kie has no package of its own."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.clients.relayed import Relayed, new_prompt
from tests.e2e.harness import ADMIN_KEY
from tests.providers.sandboxed import look

pytestmark = pytest.mark.anyio

SUBMIT = "/api/v1/flux/kontext/generate"
RECORD = "/api/v1/flux/kontext/record-info"
PAGE_PROMPT = "A serene mountain landscape at sunset with a lake reflecting the orange sky"
ORDER = '{"prompt": "a lighthouse at dusk"}'
WRONG_KEY = "rly_" + "x" * 36
BEARER = {"authorization": f"Bearer {ADMIN_KEY}"}


class NotMade(Exception):
    """What the app had to say of a task that was not made. `status` is that of HTTP, `flag` that of the record; without either no
    answer came."""

    def __init__(self, msg: str, *, status: int | None = None, flag: int | None = None, code: int | None = None) -> None:
        self.msg = msg
        self.status = status
        self.flag = flag
        self.code = code
        super().__init__(msg, status, flag, code)


async def make(relay: Relayed, prompt: str, *, key: str = ADMIN_KEY, cuttable: bool = False, **fields: Any) -> dict[str, Any]:
    """The record of what the app had made. Raises NotMade."""
    ran = await relay.run("kie_app.js", "kie", instead={ORDER: json.dumps({"prompt": prompt, **fields})}, key=key, cuttable=cuttable)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    if "record" in told:
        return dict(told["record"])
    told.pop("cause", None)
    raise NotMade(**told)


async def submit(relay: Relayed, prompt: str, **fields: Any) -> httpx.Response:
    async with httpx.AsyncClient(headers=BEARER, timeout=20) as client:
        return await client.post(relay.base("kie") + SUBMIT, json={"prompt": prompt, **fields})


async def record(relay: Relayed, task_id: str, key: str | None = ADMIN_KEY, **query: str) -> dict[str, Any]:
    """The answer of record-info, which is HTTP 200 whatever it says."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"} if key else {}, timeout=30) as client:
        answer = await client.get(relay.base("kie") + RECORD, params={"taskId": task_id, **query})
    assert answer.status_code == 200
    return dict(answer.json())


async def picture_of(record: dict[str, Any]) -> tuple[str | None, float]:
    """Format and ratio of what opens without a key."""
    async with httpx.AsyncClient() as client:
        format_, (width, height) = look((await client.get(record["response"]["resultImageUrl"])).raise_for_status().content)
    return format_, round(width / height, 1)


async def test_a_picture_is_made_once(relay: Relayed) -> None:
    told = await make(relay, prompt := new_prompt(), aspectRatio="4:3", outputFormat="png")
    assert list(told) == ["taskId", "paramJson", "completeTime", "createTime", "response", "successFlag", "errorCode", "errorMessage"]
    assert json.loads(told["paramJson"]) == {"prompt": prompt, "aspectRatio": "4:3", "outputFormat": "png"}
    assert (told["successFlag"], told["errorCode"], told["errorMessage"]) == (1, None, "")
    assert await picture_of(told) == ("PNG", 1.3)
    assert await relay.bill("kie", prompt) == (1, 1)
    (task,) = await relay.tasks(prompt)
    assert (task["id"], task["provider"], task["model"]) == (told["taskId"], "kie", "flux-kontext-pro")


async def test_every_field_of_the_page_goes_through(relay: Relayed) -> None:
    ran = await relay.run("kie.js", "kie", instead={PAGE_PROMPT: (prompt := new_prompt())})
    answer = json.loads(ran.stdout)
    assert answer == {"code": 200, "msg": "success", "data": {"taskId": answer["data"]["taskId"]}}
    told = (await record(relay, answer["data"]["taskId"], wait="20"))["data"]
    assert told["successFlag"] == 1
    assert await picture_of(told) == ("JPEG", 1.8)
    (task,) = await relay.tasks(prompt)
    assert task["input"] == {
        "aspect_ratio": "16:9", "output_format": "jpeg", "image": "https://example.com/input-image.jpg", "prompt_upsampling": False,
        "safety_tolerance": 2, "watermark": "your-watermark-id", "translate": True, "options": {"uploadCn": False}}


@pytest.mark.parametrize(("words", "code", "msg"), [
    ("sandbox:moderated", 400, "Your prompt was flagged by Website as violating content policies."),
    ("sandbox:error", 501, "Image generation task failed"),
])
async def test_a_failure_is_told_in_the_record(relay: Relayed, words: str, code: int, msg: str) -> None:
    with pytest.raises(NotMade) as caught:
        await make(relay, prompt := new_prompt(words))
    assert (caught.value.flag, caught.value.code, caught.value.msg) == (3, code, msg)
    assert await relay.bill("kie", prompt) == (1, 0)


@pytest.mark.parametrize(("fields", "code", "msg"), [
    ({"aspectRatio": "2:1"}, 422, "aspectRatio must be one of 21:9, 16:9, 4:3, 1:1, 3:4, 9:16, not '2:1'"),
    ({"outputFormat": "gif", "model": "flux-9"},
     422, "outputFormat must be one of jpeg, png, not 'gif'; model must be one of flux-kontext-pro, flux-kontext-max, not 'flux-9'"),
    ({"safetyTolerance": 7}, 500, "The security tolerance level is out of range and should be 0-6"),
    ({"callBackUrl": "http://10.0.0.1/hook"}, 422, "callBackUrl "), ({"inputImage": "http://10.0.0.1/a.png"}, 422, "inputImage "),
    ({"prompt": ""}, 422, "prompt is required"),
], ids=str)
async def test_a_wrong_value_is_refused_by_its_name_and_never_sent(relay: Relayed, fields: dict[str, Any], code: int, msg: str) -> None:
    prompt = new_prompt()
    with pytest.raises(NotMade) as caught:
        await make(relay, **{"prompt": prompt, **fields})
    assert (caught.value.status, caught.value.code) == (200, code)
    assert caught.value.msg.startswith(msg)
    assert await relay.bill("kie", prompt) == (0, 0)


async def test_a_wrong_key_is_refused(relay: Relayed) -> None:
    with pytest.raises(NotMade) as caught:
        await make(relay, prompt := new_prompt(), key=WRONG_KEY)
    assert (caught.value.status, caught.value.code, caught.value.msg) == (200, 401, "You do not have access permissions")
    assert await relay.bill("kie", prompt) == (0, 0)


async def test_an_empty_account_is_told_at_once(relay: Relayed) -> None:
    with pytest.raises(NotMade) as caught:
        await make(relay, prompt := new_prompt("sandbox:no-credits"))
    assert (caught.value.status, caught.value.flag, caught.value.code, caught.value.msg) == (200, None, 402, "Insufficient credits")
    assert await relay.bill("kie", prompt) == (1, 0)


async def test_a_slow_picture_is_asked_for_until_it_is_there(relay: Relayed) -> None:
    answer = await submit(relay, prompt := new_prompt("sandbox:slow=4"))
    task_id = answer.json()["data"]["taskId"]
    running = (await record(relay, task_id))["data"]
    assert (running["successFlag"], running["response"], running["completeTime"]) == (0, None, None)
    assert (await record(relay, task_id, wait="20"))["data"]["successFlag"] == 1
    told = await make(relay, slow := new_prompt("sandbox:slow=2"))
    assert told["successFlag"] == 1
    assert [await relay.bill("kie", one) for one in (prompt, slow)] == [(1, 1), (1, 1)]


async def test_a_line_that_is_cut_before_the_answer_loses_no_picture(relay: Relayed) -> None:
    relay.scissors.cut_next()
    with pytest.raises(NotMade) as caught:
        await make(relay, prompt := new_prompt(), cuttable=True, callBackUrl=f"{relay.hook}/cut")
    assert (caught.value.status, caught.value.flag) == (None, None)
    task = await relay.task(prompt)
    assert (task["status"], len(task["images"])) == ("succeeded", 1)
    assert await relay.bill("kie", prompt) == (1, 1)
    ((_, body),) = await relay.told(task["id"])
    assert json.loads(body)["data"]["taskId"] == task["id"]


async def test_who_gave_up_before_the_answer_gets_the_same_task_when_it_asks_again(relay: Relayed) -> None:
    prompt = new_prompt("sandbox:rate-limit=3")
    async with httpx.AsyncClient(headers=BEARER, timeout=0.5) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(relay.base("kie") + SUBMIT, json={"prompt": prompt})
    told = await make(relay, prompt)
    assert [task["id"] for task in await relay.tasks(prompt)] == [told["taskId"]]
    assert (await relay.bill("kie", prompt))[1] == 1


@pytest.mark.parametrize(("words", "code", "msg"), [
    ("", 200, "success"), ("sandbox:moderated", 400, "Your prompt was flagged by Website as violating content policies."),
    ("sandbox:error", 501, "Image generation task failed"),
])
async def test_the_callback_is_kies_and_signed(relay: Relayed, words: str, code: int, msg: str) -> None:
    answer = await submit(relay, new_prompt(words), callBackUrl=f"{relay.hook}/kie")
    task_id = answer.json()["data"]["taskId"]
    ((headers, body),) = await relay.told(task_id)
    response = (await record(relay, task_id))["data"]["response"]
    assert json.loads(body) == {"code": code, "msg": msg, "data": {
        "taskId": task_id, "info": response or {"originImageUrl": "", "resultImageUrl": ""}}}
    Webhook(await relay.signing_secret(task_id)).verify(body, headers)


async def test_tasks_of_others_are_not_there(relay: Relayed) -> None:
    task_id = (await submit(relay, new_prompt())).json()["data"]["taskId"]
    nothing = {"code": 404, "msg": "The task was not found", "data": None}
    assert await record(relay, task_id, await relay.key_of_another("kie")) == nothing
    assert await record(relay, "task12345") == nothing
    assert [(await record(relay, task_id, key))["code"] for key in (WRONG_KEY, None)] == [401, 401]
    assert (await record(relay, ""))["msg"] == "taskId is required"


async def test_equal_prompts_at_once_are_a_picture_each(relay: Relayed) -> None:
    answers = await asyncio.gather(*(submit(relay, prompt) for prompt in [new_prompt("sandbox:slow=1")] * 4))
    task_ids = {answer.json()["data"]["taskId"] for answer in answers}
    assert len(task_ids) == 4
    links = {(await record(relay, task_id, wait="20"))["data"]["response"]["resultImageUrl"] for task_id in task_ids}
    assert len(links) == 4


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(("method", "path", "headers", "body"), [
    ("POST", SUBMIT, JSON, b"{}"), ("POST", SUBMIT, JSON, b'{"prompt": "a", "aspectRatio": "wide", "enableTranslation": 1}'),
    ("POST", SUBMIT, JSON, b'{"prompt": ["a"]}'), ("POST", SUBMIT, JSON, b'{"prompt": "a", "safetyTolerance": 9}'),
    ("POST", SUBMIT, JSON, b'{"prompt": "a", "safetyTolerance": 3, "inputImage": "https://example.com/a.png"}'),
    ("POST", SUBMIT, JSON, b'{"prompt": "a", "callBackUrl": "nowhere"}'),
    ("POST", SUBMIT, JSON, b'{"prompt": "a", "inputImage": "data:,"}'),
    ("POST", SUBMIT, JSON, b"{"), ("POST", SUBMIT, JSON, b"[]"), ("POST", SUBMIT, JSON, b""), ("POST", SUBMIT, JSON, b'{"prompt": "\xff"}'),
    ("POST", SUBMIT, {"content-type": "text/plain"}, b"{}"), ("POST", SUBMIT, {}, b"{}"), ("GET", SUBMIT, {}, b""),
    ("POST", RECORD, JSON, b"{}"), ("GET", RECORD, {}, b""), ("GET", f"{RECORD}?taskId=task12345", {}, b""),
    ("GET", "/api/v1/flux/kontext", {}, b""), ("GET", "/", {}, b""),
    ("POST", SUBMIT, {"authorization": "Bearer bad", **JSON}, b'{"prompt": "a"}'),
    ("GET", f"{RECORD}?taskId=1", {"authorization": ""}, b""),
], ids=str)
async def test_what_is_wrong_is_refused_as_kies_stand_in_refuses_it(relay: Relayed, method: str, path: str, headers: dict[str, str],
                                                                   body: bytes) -> None:
    async with httpx.AsyncClient(headers=BEARER) as client:
        theirs, ours = [await client.request(method, base + path, headers=headers, content=body)
                        for base in (f"{relay.url}/kie", relay.base("kie"))]
    assert (ours.status_code, ours.headers["content-type"]) == (theirs.status_code, theirs.headers["content-type"])
    assert (list(ours.json()), ours.json()["code"], ours.json()["data"]) == (list(theirs.json()), theirs.json()["code"], None)
    assert theirs.json()["code"] != 200


async def test_an_app_that_only_asks_is_called_back_by_a_subscription_of_its_operator(relay: Relayed) -> None:
    """The last test here, since the subscription hears of all that comes after it."""
    await relay.api.subscribe(f"{relay.hook}/operator", format="provider", providers=["kie"])
    told = await make(relay, new_prompt())
    ((_, body),) = await relay.told(told["taskId"])
    assert json.loads(body) == {"code": 200, "msg": "success", "data": {"taskId": told["taskId"], "info": told["response"]}}
