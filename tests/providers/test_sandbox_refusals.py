"""What the stand-ins refuse, and in whose words."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.providers.sandboxed import BEARER, LEAST, QUICK, SUBMIT, Client, auth, running_sandbox

pytestmark = pytest.mark.anyio

each_provider = pytest.mark.parametrize("provider", SUBMIT)

REFUSALS: dict[str, dict[str, tuple[int, Any]]] = {
    "serevix": {
        "bad key": (401, {"detail": "Not authenticated - Invalid Authentication"}),
        "no credits": (402, {"detail": "Insufficient credits"}),
        "rate": (429, {"detail": "Too many active tasks"}),
        "no prompt": (422, {"detail": [{"type": "value_error", "loc": ["body", "prompt"], "msg": "Value is required"}]}),
        "path": (404, {"detail": "Not Found"}),
        "method": (405, {"detail": "Method Not Allowed"}),
    },
    "apiframe": {
        "bad key": (401, {}),
        "no credits": (402, {"errors": [{"msg": "Not enough credits"}]}),
        "rate": (429, {"errors": [{"msg": "Too many requests"}]}),
        "no prompt": (400, {"errors": [{"msg": "prompt is required"}]}),
        "path": (404, {"errors": [{"msg": "Not Found"}]}),
        "method": (405, {"errors": [{"msg": "Method Not Allowed"}]}),
    },
    "segmind": {
        "bad key": (401, {"error": "unauthorized", "error_description": "The API key is not valid", "status_code": 401}),
        "no credits": (406, {"error": "Not enough credits"}),
        "rate": (429, {"error": "Too many requests"}),
        "no prompt": (406, {"error": "Invalid parameter: prompt is required"}),
        "path": (404, {"error": "Not Found"}),
        "method": (405, None),
        "moderated": (406, {"error": "Invalid prompt: NSFW content detected"}),
        "error": (500, {"error": "Server had some issue with processing"}),
    },
    "kie": {
        "bad key": (200, {"code": 401, "msg": "You do not have access permissions", "data": None}),
        "no credits": (200, {"code": 402, "msg": "Insufficient credits", "data": None}),
        "rate": (429, {"code": 429, "msg": "Your call frequency is too high. Please try again later.", "data": None}),
        "no prompt": (200, {"code": 422, "msg": "prompt is required", "data": None}),
        "path": (404, {"code": 404, "msg": "Not found", "data": None}),
        "method": (405, {"code": 422, "msg": "Method Not Allowed", "data": None}),
    },
    "yescale": {
        "bad key": (401, ("new_api_error", None, "invalid_api_key")),
        "no credits": (403, ("new_api_error", None, "insufficient_user_quota")),
        "rate": (429, ("rate_limit_error", None, "rate_limit_exceeded")),
        "no prompt": (400, ("invalid_request_error", "prompt", None)),
        "path": (404, ("invalid_request_error", None, None)),
        "method": (405, ("invalid_request_error", None, "method_not_allowed")),
        "moderated": (400, ("invalid_request_error", None, "content_policy_violation")),
        "error": (500, ("upstream_error", None, "do_request_failed")),
    },
}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running_sandbox() as client:
        yield client


def assert_refused(answer: httpx.Response, provider: str, kind: str) -> None:
    status, body = REFUSALS[provider][kind]
    assert answer.status_code == status, answer.text
    if isinstance(body, tuple):
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["param"], error["code"]) == body
        assert error["message"]
    elif body is not None:
        assert answer.json() == body


@each_provider
async def test_a_key_that_begins_with_bad_is_refused(client: Client, provider: str) -> None:
    assert_refused(await client.submit(provider, key="bad-key"), provider, "bad key")
    assert await client.ledger(provider, f"a lighthouse {QUICK}") == (1, 0, 0, 0)


@each_provider
async def test_an_absent_key_is_refused_like_a_bad_one(client: Client, provider: str) -> None:
    answer = await client.post(SUBMIT[provider], json={**LEAST[provider], "prompt": "a lighthouse"})
    status, _ = REFUSALS[provider]["bad key"]
    assert answer.status_code == status
    assert provider != "kie" or answer.json()["code"] == 401


@each_provider
async def test_an_empty_account_an_exceeded_rate_and_an_absent_prompt(client: Client, provider: str) -> None:
    assert_refused(await client.submit(provider, "a sandbox:no-credits"), provider, "no credits")
    assert_refused(await client.submit(provider, "a sandbox:rate-limit=1"), provider, "rate")
    for prompt in ({}, {"prompt": None}, {"prompt": ""}, {"prompt": " \n"}):
        answer = await client.post(SUBMIT[provider], json={**LEAST[provider], **prompt}, headers=auth(provider))
        assert_refused(answer, provider, "no prompt")
    assert await client.ledger(provider) == (6, 0, 0, 0)


@each_provider
async def test_another_path_and_another_method(client: Client, provider: str) -> None:
    assert_refused(await client.post(f"/{provider}/v9/nothing", json={}, headers=auth(provider)), provider, "path")
    answer = await client.get(SUBMIT[provider], headers=auth(provider))
    assert_refused(answer, provider, "method")
    assert ("html" in answer.headers["content-type"]) == (provider == "segmind")
    assert await client.ledger(provider) == (0, 0, 0, 0)


@pytest.mark.parametrize("provider", ["segmind", "yescale"])
async def test_a_held_connection_tells_of_moderation_and_failure_by_its_status(client: Client, provider: str) -> None:
    assert_refused(await client.submit(provider, f"a sandbox:moderated {QUICK}"), provider, "moderated")
    assert_refused(await client.submit(provider, f"a sandbox:error {QUICK}"), provider, "error")
    assert await client.ledger(provider) == (2, 2, 0, 0)


async def test_the_other_three_tell_of_moderation_and_failure_in_the_result(client: Client) -> None:
    moderated, failed = f"a sandbox:moderated {QUICK}", f"a sandbox:error {QUICK}"
    serevix = [await client.serevix(prompt=prompt) for prompt in (moderated, failed)]
    assert [body["status"] for body in serevix] == ["Content Moderated", "Error"]
    assert serevix[0]["details"] == {"Moderation Reasons": ["Safety Filter"]}
    apiframe = [await client.apiframe(prompt=prompt) for prompt in (moderated, failed)]
    assert [list(body) for body in apiframe] == [["task_id", "task_type", "status", "message"]] * 2
    assert [(body["task_type"], body["status"]) for body in apiframe] == [("flux-imagine", "failed")] * 2
    assert "content policy" in apiframe[0]["message"]
    kie = [await client.kie(prompt=prompt) for prompt in (moderated, failed)]
    assert [(record["successFlag"], record["errorCode"], record["response"]) for record in kie] == [(3, 400, None), (3, 501, None)]
    assert [(await client.ledger(name))[2] for name in ("serevix", "apiframe", "kie")] == [0, 0, 0]


async def test_segmind_takes_its_key_in_its_own_header_only_and_apiframe_in_both_ways(client: Client) -> None:
    assert (await client.post(SUBMIT["segmind"], json={"prompt": QUICK}, headers=BEARER)).status_code == 401
    order = {"prompt": QUICK, "model": "flux-dev"}
    for authorization in ("raw-key", "Bearer raw-key", "bearer raw-key"):
        answer = await client.post(SUBMIT["apiframe"], json=order, headers={"authorization": authorization})
        assert answer.status_code == 200
    bad = await client.post(SUBMIT["apiframe"], json=order, headers={"authorization": "Bearer bad"})
    assert (bad.status_code, bad.json()) == (401, {})
    for provider in ("serevix", "kie", "yescale"):
        raw = await client.post(SUBMIT[provider], json={"prompt": QUICK}, headers={"authorization": "raw-key"})
        assert raw.json().get("code", raw.status_code) == 401


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("serevix", {"width": 1000}, "width"), ("serevix", {"height": 0}, "height"), ("serevix", {"width": "1024"}, "width"),
    ("serevix", {"output_format": "webp"}, "output_format"), ("serevix", {"prompt_upsampling": "false"}, "prompt_upsampling"),
    ("serevix", {"seed": 1.5}, "seed"), ("serevix", {"seed": 2**64}, "seed"), ("serevix", {"image_prompt": "***"}, "image_prompt"),
    ("serevix", {"image_prompt": "YWJj"}, "image_prompt"), ("serevix", {"prompt": 5}, "prompt"), ("serevix", {"prompt": "a\0b"}, "prompt"),
    ("apiframe", {"model": "flux-2"}, "model"), ("apiframe", {"model": None}, "model"), ("apiframe", {"width": 255}, "width"),
    ("apiframe", {"height": 1441}, "height"), ("apiframe", {"safety_tolerance": 7}, "safety_tolerance"),
    ("apiframe", {"safety_tolerance": True}, "safety_tolerance"), ("apiframe", {"interval": 5}, "interval"),
    ("apiframe", {"image_prompt_strength": 1.1}, "image_prompt_strength"), ("apiframe", {"aspect_ratio": "22:9"}, "aspect_ratio"),
    ("apiframe", {"aspect_ratio": "9:22"}, "aspect_ratio"), ("apiframe", {"aspect_ratio": "1:0"}, "aspect_ratio"),
    ("apiframe", {"aspect_ratio": "wide"}, "aspect_ratio"), ("apiframe", {"raw": 1}, "raw"),
    ("apiframe", {"webhook_url": "nowhere"}, "webhook_url"), ("apiframe", {"webhook_secret": "a\nb"}, "webhook_secret"),
    ("segmind", {"width": 255}, "width"), ("segmind", {"height": "1441"}, "height"),
    ("segmind", {"safety_tolerance": 0}, "safety_tolerance"),
    ("segmind", {"safety_tolerance": 6}, "safety_tolerance"), ("segmind", {"output_quality": 101}, "output_quality"),
    ("segmind", {"output_format": "gif"}, "output_format"), ("segmind", {"aspect_ratio": "1:5"}, "aspect_ratio"),
    ("segmind", {"prompt_upsampling": "maybe"}, "prompt_upsampling"), ("segmind", {"seed": "twelve"}, "seed"),
    ("kie", {"aspectRatio": "2:1"}, "aspectRatio"), ("kie", {"outputFormat": "webp"}, "outputFormat"),
    ("kie", {"model": "flux-pro"}, "model"),
    ("kie", {"inputImage": "data:image/png;base64,AA=="}, "inputImage"), ("kie", {"callBackUrl": "ftp://example.com/"}, "callBackUrl"),
    ("kie", {"uploadCn": "yes"}, "uploadCn"), ("kie", {"safetyTolerance": "2"}, "safetyTolerance"),
    ("yescale", {"prompt": "ä" * 1001}, "prompt"), ("yescale", {"n": 0}, "n"), ("yescale", {"n": 11}, "n"), ("yescale", {"n": 1.5}, "n"),
    ("yescale", {"size": "1024x960"}, "size"), ("yescale", {"response_format": "png"}, "response_format"),
]
STATUS = {"serevix": 422, "apiframe": 400, "segmind": 406, "kie": 200, "yescale": 400}


async def test_what_the_documents_forbid_is_refused_by_name(client: Client) -> None:
    for provider, fields, name in WRONG:
        answer = await client.submit(provider, **fields)
        assert answer.status_code == STATUS[provider], (provider, fields, answer.text)
        assert name in answer.text
        assert provider != "kie" or answer.json()["code"] == 422
    for provider in SUBMIT:
        assert (await client.ledger(provider))[1:] == (0, 0, 0)


async def test_kies_tolerance_has_a_code_of_its_own_and_a_narrower_range_for_editing(client: Client) -> None:
    edit = {"inputImage": "https://example.com/a.png"}
    for fields, code in (({"safetyTolerance": 7}, 500), ({"safetyTolerance": -1}, 500), ({"safetyTolerance": 6}, 200),
                         ({"safetyTolerance": 3, **edit}, 500), ({"safetyTolerance": 2, **edit}, 200)):
        answer = await client.submit("kie", **fields)
        assert (answer.status_code, answer.json()["code"]) == (200, code), fields


async def test_what_only_others_limit_and_what_is_unknown_passes(client: Client) -> None:
    for provider, fields in (
        ("apiframe", {"model": "flux-dev", "steps": 500, "guidance": 99, "output_format": "png"}), ("serevix", {"steps": 28, "seed": -1}),
        ("segmind", {"width": 257, "height": 1439, "future": [1]}), ("kie", {"future": {}}),
        ("yescale", {"model": "flux-9", "style": "vivid"}),
    ):
        answer = await client.submit(provider, **fields)
        assert answer.status_code == 200, answer.text


async def test_kie_takes_twenty_new_tasks_in_ten_seconds_from_each_key(client: Client) -> None:
    answers = [(await client.submit("kie", f"{number} {QUICK}")).status_code for number in range(21)]
    assert answers == [200] * 20 + [429]
    assert (await client.submit("kie", key="another")).status_code == 200


async def test_serevix_runs_24_tasks_of_each_key_at_once(client: Client) -> None:
    answers = [await client.submit("serevix", f"{number} sandbox:slow=60") for number in range(25)]
    assert [answer.status_code for answer in answers] == [200] * 24 + [429]
    assert answers[-1].json() == {"detail": "Too many active tasks"}
    assert (await client.submit("serevix", key="another")).status_code == 200


async def test_a_task_of_another_key_or_of_nobody_is_not_found(client: Client) -> None:
    serevix = (await client.submit("serevix", key="another")).json()
    answer = await client.get(serevix["polling_url"], headers=BEARER)
    assert (answer.status_code, answer.json()) == (404, {"id": serevix["id"], "status": "Task not found", "result": None})
    kie = (await client.submit("kie", key="another")).json()["data"]
    answer = await client.get("/kie/api/v1/flux/kontext/record-info", params=kie, headers=BEARER)
    assert (answer.status_code, answer.json()["code"]) == (200, 404)
    apiframe = (await client.submit("apiframe", key="another")).json()
    answer = await client.post("/apiframe/fetch", json=apiframe, headers=auth("apiframe"))
    assert answer.status_code == 400
    for path in ("/serevix/flux/v1/get_result?id=1", "/kie/api/v1/flux/kontext/record-info?taskId=1"):
        refused = await client.get(path, headers=auth("serevix", "bad"))
        assert refused.json().get("code", refused.status_code) == 401


async def test_fetch_many_takes_two_to_twenty_ids_and_leaves_out_the_unknown(client: Client) -> None:
    first, second = [(await client.apiframe(prompt=f"{name} {QUICK}"))["task_id"] for name in "ab"]
    for ids, status in (([first], 400), ([first] * 21, 400), ("ids", 400), ([first, second], 200), ([first, "other", 5, second], 200)):
        answer = await client.post("/apiframe/fetch-many", json={"task_ids": ids}, headers=auth("apiframe"))
        assert answer.status_code == status
    assert [task["task_id"] for task in answer.json()["tasks"]] == [first, second]
    assert all(list(task) == ["task_id", "task_type", "original_image_url", "image_url"] for task in answer.json()["tasks"])
