"""Segmind, served: how an app's request is read, and how tasks and refusals are worded. The rest needs a running Relay."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from relay.errors import FieldProblem, ProviderError, TooLarge
from relay.model import ErrorCode, Task, TaskError, TaskStatus
from relay.ports import Provider
from relay.providers.answer import Answer
from relay.providers.dropin.order import Order
from relay.providers.form import read_form
from relay.providers.refusal import Refused, Why
from relay.providers.segmind import reading, rendering, wire
from relay.providers.segmind.dropin import SegmindDropin, read_order
from tests.providers.cases import NOW, PNG, new_task
from tests.providers.orders import assert_read_or_refused, garbage, input_of, problems_of
from tests.providers.suite import CASES, make
from tests.providers.upstream import Reply, running_upstream

pytestmark = pytest.mark.anyio

CASE = next(case for case in CASES if case.name == "segmind")
SAMPLE = {  # the page's own
    "seed": 12345, "width": 1024, "height": 1024, "prompt": "A photo of an astronaut", "aspect_ratio": "1:1", "output_format": "png",
    "output_quality": 80, "safety_tolerance": 2, "prompt_upsampling": False,
}
LINKS = rendering.Links(poll_url="https://r.example/1", status_url="https://r.example/2", response_url="https://r.example/3")
SENT, ENDED = NOW + timedelta(seconds=0.25), NOW + timedelta(seconds=2.75)


def read_flux(body: Mapping[str, Any]) -> Order:
    return read_order(body, wire.MODEL)


def read(**fields: Any) -> Order:
    return read_flux({"prompt": "a bird", **fields})


def body_of(refused: Refused) -> Any:
    return msgspec.json.decode(rendering.refusal_of(refused).body)


def told(result: wire.Result) -> Any:
    return msgspec.json.decode(msgspec.json.encode(result))


def failed(message: str = "CUDA", code: ErrorCode = ErrorCode.PROVIDER_ERROR, **fields: Any) -> Task:
    return new_task("segmind", status=TaskStatus.FAILED, error=TaskError(code=code, message=message), **fields)


@pytest.mark.parametrize("body", [
    {"prompt": "a bird"}, SAMPLE, {**SAMPLE, "prompt": "a bird in a house \N{BIRD}"},
    {"prompt": "a bird", "aspect_ratio": "custom", "width": 1000, "height": 257, "output_format": "jpg"},
    {"prompt": "a bird", "width": 300, "height": 400},
    {"prompt": "a bird", "output_format": "webp", "output_quality": 0, "brand_new": {"deep": [1, None]}},
], ids=["least", "sample", "words", "custom", "sides that mean nothing", "unknown"])
async def test_what_an_app_sends_is_what_segmind_gets(body: dict[str, Any]) -> None:
    request = read_flux(body).request
    async with running_upstream() as upstream:
        upstream.answer = Reply(body=PNG, headers={"content-type": "image/png"})
        segmind = make(CASE, upstream.url)
        segmind.check(request)
        await segmind.submit(new_task("segmind", prompt=request.prompt, model=request.model, input=input_of(request)), image=None,
                             callback=None)
        await segmind.aclose()
    (asked,) = upstream.requests
    assert asked.json == body


def test_a_value_may_come_as_text() -> None:
    as_text = {name: str(value) for name, value in SAMPLE.items()}
    assert read_flux(as_text) == read_flux(SAMPLE)


def test_sides_make_the_size_only_with_the_custom_ratio() -> None:
    custom = read(aspect_ratio="custom", width=512).request
    assert (custom.aspect_ratio, custom.width, custom.height, custom.options) == (None, 512, 1024, None)
    squared = read(aspect_ratio="4:5", width=512, height=512).request
    assert (squared.aspect_ratio, squared.width, squared.height, squared.options) == ("4:5", None, None, {"width": 512, "height": 512})


def test_null_is_absent() -> None:
    assert read(seed=None, aspect_ratio=None, webhook_url=None, other=None).request == read().request


def test_everything_that_is_wrong_is_named_at_once_in_the_words_of_the_page() -> None:
    wrong = problems_of(read_flux, {
        "prompt": " ", "seed": "seven", "width": 100, "aspect_ratio": "wide", "output_format": "gif", "output_quality": 101,
        "safety_tolerance": 0, "prompt_upsampling": "perhaps", "webhook_url": 1})
    assert [problem.field for problem in wrong] == [
        "prompt", "seed", "width", "aspect_ratio", "output_format", "output_quality", "safety_tolerance", "prompt_upsampling",
        "webhook_url"]
    assert dict(wrong)["prompt"] == "is required"
    assert dict(wrong)["output_format"] == "must be one of jpg, png, webp, not 'gif'"
    assert dict(wrong)["width"] == "must be an integer from 256 to 1440, not 100"


def test_a_prompt_must_be_text() -> None:
    assert problems_of(read_flux, {"prompt": ["a bird"]}) == [FieldProblem("prompt", "must be a string, not ['a bird']")]
    assert problems_of(read_flux, {"prompt": None}) == [FieldProblem("prompt", "is required")]


def test_an_app_may_say_where_to_call_back() -> None:
    request = read(webhook_url="https://app.example/a", webhook_secret="s").request
    assert (request.callback_url, request.callback_secret, request.options) == ("https://app.example/a", "s", None)
    assert read(webhook_url="").request.callback_url is None


@pytest.mark.parametrize(("fields", "idle"), [
    ({"output_quality": 80}, True), ({"output_quality": 10, "output_format": "png"}, True), ({"output_quality": 10}, False), ({}, False),
])
def test_a_quality_that_says_nothing_can_be_left_away_elsewhere(fields: dict[str, Any], *, idle: bool) -> None:
    assert ("output_quality" in read(**fields).idle) is idle


def test_what_the_page_documents_is_what_an_app_expects_elsewhere() -> None:
    assert read().defaults == {
        "aspect_ratio": "1:1", "seed": 1, "output_format": "webp", "safety_tolerance": 2, "prompt_upsampling": True}
    assert "aspect_ratio" not in read(aspect_ratio="custom", height=256).defaults


@pytest.fixture(scope="module")
def checker() -> Provider:
    return make(CASE)


@settings(deadline=None)
@given(body=garbage([*wire.FIELDS, "webhook_url"]))
def test_garbage_is_read_or_refused_in_fields(checker: Provider, body: dict[str, Any]) -> None:
    assert_read_or_refused(read_flux, body, checker)


@pytest.mark.parametrize("why", list(Why))
def test_every_refusal_is_an_error_of_segminds_shape(why: Why) -> None:
    answer = SegmindDropin().refuse(Refused(why, "told so", [FieldProblem("seed", "must be an integer")] if why is Why.FIELDS else None))
    assert answer.status_code == {
        Why.KEY: 401, Why.CREDITS: 406, Why.RATE: 429, Why.FIELDS: 406, Why.BODY: 400, Why.MEDIA: 406, Why.LARGE: 413, Why.LATE: 408,
        Why.PATH: 404, Why.METHOD: 405, Why.MODERATED: 406, Why.FAILED: 500, Why.BROKEN: 500, Why.MISSING: 404, Why.CONFLICT: 409,
        Why.BUSY: 503, Why.OVERRUN: 504, Why.UNKNOWN: 500}[why]
    if why is Why.METHOD:
        assert answer.headers["content-type"].startswith("text/html")
        return
    assert answer.headers["content-type"] == "application/json"
    body = msgspec.json.decode(answer.body)
    assert isinstance(body.pop("error"), str)
    assert body == ({"error_description": "told so", "status_code": 401} if why is Why.KEY else {})


def test_a_wrong_field_is_named() -> None:
    refused = Refused(Why.FIELDS, "", [FieldProblem("seed", "must be an integer"), FieldProblem("width", "is too small")])
    assert body_of(refused) == {"error": "Invalid parameter: seed must be an integer; width is too small"}


@pytest.mark.parametrize(("why", "code", "words"), [
    (Why.MODERATED, ErrorCode.MODERATED, "flagged as violating content policies"),
    (Why.MODERATED, ErrorCode.MODERATED, "Invalid prompt: NSFW content detected"),
    (Why.CREDITS, ErrorCode.INSUFFICIENT_CREDITS, "the quota of this user is used up, that is invalid"),
    (Why.FIELDS, ErrorCode.INVALID_REQUEST, "the seed is too large"),
    (Why.RATE, ErrorCode.RATE_LIMITED, "slow down"),
    (Why.FAILED, ErrorCode.PROVIDER_ERROR, "CUDA out of memory"),
])
def test_a_client_tells_the_reasons_apart_whoever_made_the_picture(why: Why, code: ErrorCode, words: str) -> None:
    """Among such clients is Relay's own: three of the reasons are 406, and only the text says which."""
    status, body, *_ = rendering.refusal_of(Refused(why, words, task_id="task_1", error=TaskError(code=code, message=words)))
    with pytest.raises(ProviderError) as caught:
        reading.read_picture(Answer(status=status, body=body, content_type="application/json"))
    assert caught.value.reason is code
    assert words in caught.value.message


def test_an_empty_account_has_no_credits() -> None:
    assert rendering.refusal_of(Refused(Why.CREDITS, "")).headers == {"x-remaining-credits": "0"}


def test_a_submission_is_answered_with_where_to_ask() -> None:
    assert told(rendering.queued("task_1", LINKS)) == {
        "request_id": "task_1", "status": "QUEUED", "poll_url": LINKS.poll_url, "status_url": LINKS.status_url,
        "response_url": LINKS.response_url}


@pytest.mark.parametrize(("status", "word"), [
    (TaskStatus.QUEUED, "QUEUED"), (TaskStatus.SUBMITTED, "QUEUED"), (TaskStatus.PROCESSING, "PROCESSING")])
def test_the_status_of_an_open_task_says_where_to_ask_on(status: TaskStatus, word: str) -> None:
    assert told(rendering.status_of(new_task("segmind", status=status, provider_task_id="req-1"), LINKS)) == {
        "request_id": "task_1", "status": word, "status_url": LINKS.status_url, "response_url": LINKS.response_url, "metrics": {}}


def test_the_status_of_a_task_that_ended_says_how_long_it_took() -> None:
    done = new_task("segmind", status=TaskStatus.SUCCEEDED, submitted_at=SENT, completed_at=ENDED, cost=0.04)
    metrics = {"cost": 0.04, "queue_time": 0.25, "inference_time": 2.5, "total_time": 2.75}
    assert told(rendering.status_of(done, LINKS)) == {"request_id": "task_1", "status": "COMPLETED", "metrics": metrics}
    assert told(rendering.result_of(done, ["https://a.example/1.png"], request_id="task_1")) == {
        "request_id": "task_1", "status": "COMPLETED", "output": "https://a.example/1.png", "metrics": metrics}


def test_a_failure_names_no_price() -> None:
    task = failed(cost=0.04, submitted_at=SENT, completed_at=ENDED)
    assert told(rendering.status_of(task, LINKS)) == {
        "request_id": "task_1", "status": "FAILED", "error": "CUDA",
        "metrics": {"queue_time": 0.25, "inference_time": 2.5, "total_time": 2.75}}


def test_the_headers_of_a_picture_say_what_is_known() -> None:
    task = new_task("segmind", status=TaskStatus.SUCCEEDED, submitted_at=SENT, completed_at=ENDED, cost=0.04, input={"seed": 7})
    assert rendering.headers_of(task, 999.5) == {
        "x-request-id": "task_1", "x-cost": "0.04", "x-remaining-credits": "999.50", "x-generation-time": "2.500", "x-seed-value": "7"}
    assert rendering.headers_of(new_task("segmind"), None) == {"x-request-id": "task_1"}


async def test_a_form_that_breaks_off_is_none() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="seed"\r\n\r\n1\r\n'
    assert await read_form("multipart/form-data; boundary=b", part + b"--b--\r\n") == {"seed": "1"}
    for body in (part, part + b"--b", b""):
        with pytest.raises(ValueError, match="incomplete"):
            await read_form("multipart/form-data; boundary=b", body)


async def test_a_form_of_texts_is_never_large() -> None:
    head, tail = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n', b"\r\n--b--\r\n"
    room = 2**20 - len(head + tail)
    assert await read_form("multipart/form-data; boundary=b", head + b"x" * room + tail) == {"prompt": "x" * room}
    with pytest.raises(TooLarge, match="1 MiB"):
        await read_form("multipart/form-data; boundary=b", head + b"x" * (room + 1) + tail)
