"""Kie, served: how an app's request is read, and how tasks and refusals are worded. The rest needs a running Relay."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from starlette.requests import Request

from relay.errors import FieldProblem, ProviderError
from relay.model import ErrorCode, Task, TaskError, TaskStatus
from relay.ports import CallbackTarget, InputImage, Provider
from relay.providers.answer import Answer
from relay.providers.dropin.order import Order
from relay.providers.dropin.visit import Visit
from relay.providers.kie import reading, rendering, wire
from relay.providers.kie.dropin import KieDropin, read_order
from relay.providers.refusal import Refused, Why
from tests.providers.cases import NOW, new_task
from tests.providers.orders import assert_read_or_refused, garbage, input_of, problems_of
from tests.providers.suite import CASES, make
from tests.providers.upstream import Reply, running_upstream

pytestmark = pytest.mark.anyio

CASE = next(case for case in CASES if case.name == "kie")
PAGE = {  # the page's example of each field
    "prompt": "A serene mountain landscape at sunset with a lake reflecting the orange sky", "enableTranslation": True, "uploadCn": False,
    "inputImage": "https://example.com/input-image.jpg", "aspectRatio": "16:9", "outputFormat": "jpeg", "promptUpsampling": False,
    "model": "flux-kontext-pro", "callBackUrl": "https://your-callback-url.com/callback", "safetyTolerance": 2,
    "watermark": "your-watermark-id",
}
LINK = "https://a.example/1.jpg?sig=a%2Bb"
ORDER = {"prompt": "a bird", "aspectRatio": "1:1"}


def read(**fields: Any) -> Order:
    return read_order({"prompt": "a bird", **fields})


def failed(code: ErrorCode = ErrorCode.PROVIDER_ERROR, provider_code: str | None = None, provider: str = "kie") -> Task:
    error = TaskError(code=code, message="told so", provider_code=provider_code)
    return new_task(provider, status=TaskStatus.FAILED, error=error, completed_at=NOW + timedelta(seconds=9))


def record(task: Task, *urls: str) -> dict[str, Any]:
    return rendering.record_of(task, urls, task_id="task_1", order=ORDER)


@pytest.mark.parametrize("body", [
    {"prompt": "a bird", "model": "flux-kontext-max"}, PAGE,
    {"prompt": "ein Vogel \N{BIRD}", "model": "flux-kontext-pro", "enableTranslation": False, "brand_new": {"deep": [1, None]}},
], ids=["least", "page", "unknown"])
async def test_what_an_app_sends_is_what_kie_gets(body: dict[str, Any]) -> None:
    request = read_order(body).request
    async with running_upstream() as upstream:
        upstream.answer = Reply(body={"code": 200, "msg": "success", "data": {"taskId": "1"}})
        kie = make(CASE, upstream.url)
        kie.check(request)
        task = new_task("kie", prompt=request.prompt, model=request.model, input=input_of(request))
        await kie.submit(task, image=InputImage(url=request.image) if request.image else None,
                         callback=CallbackTarget(url="https://relay.example/callbacks/t", secret="") if request.callback_url else None)
        await kie.aclose()
    (asked,) = upstream.requests
    assert asked.json == {**body, **({"callBackUrl": "https://relay.example/callbacks/t"} if "callBackUrl" in body else {})}
    assert request.callback_url == body.get("callBackUrl")


def test_null_is_absent() -> None:
    assert read(model=None, aspectRatio=None, callBackUrl=None, other=None).request == read().request


def test_everything_that_is_wrong_is_named_at_once_in_the_words_of_the_page() -> None:
    wrong = problems_of(read_order, {
        "prompt": "", "enableTranslation": "yes", "inputImage": "data:image/png;base64,AAAA", "aspectRatio": "2:1", "outputFormat": "webp",
        "model": "flux-pro", "callBackUrl": "app.example", "safetyTolerance": "2", "watermark": 1})
    assert [problem.field for problem in wrong] == [
        "prompt", "enableTranslation", "aspectRatio", "outputFormat", "model", "safetyTolerance", "watermark", "inputImage", "callBackUrl"]
    assert dict(wrong)["aspectRatio"] == "must be one of 21:9, 16:9, 4:3, 1:1, 3:4, 9:16, not '2:1'"
    assert dict(wrong)["callBackUrl"] == "must be a valid URL"


@pytest.mark.parametrize(("fields", "most"), [({"safetyTolerance": 7}, 6), ({"safetyTolerance": -1}, 6),
                                              ({"safetyTolerance": 3, "inputImage": "https://a.example/1.png"}, 2)])
def test_a_tolerance_out_of_range_has_a_code_and_words_of_its_own(fields: dict[str, Any], most: int) -> None:
    with pytest.raises(Refused) as caught:
        read(**fields)
    assert rendering.refusal_of(caught.value) == (200, {
        "code": 500, "msg": f"The security tolerance level is out of range and should be 0-{most}", "data": None})


@pytest.mark.parametrize("tolerance", [0, 6, 2.0])
def test_a_tolerance_in_range_is_good(tolerance: float) -> None:
    assert read(safetyTolerance=tolerance).request.safety_tolerance == tolerance


def test_what_is_remembered_is_what_the_page_names_without_what_is_large_or_private() -> None:
    order = read(aspectRatio="1:1", uploadCn=True, watermark="w" * 3000, callBackUrl="https://a.example/hook", brand_new=[1])
    assert order.native == {"aspectRatio": "1:1", "uploadCn": True}


def test_the_region_of_an_upload_says_nothing_about_the_picture() -> None:
    assert read(uploadCn=True).idle == {"uploadCn"}


def test_what_the_page_documents_is_what_an_app_expects_elsewhere() -> None:
    assert read().defaults == {
        "aspect_ratio": "16:9", "output_format": "jpeg", "prompt_upsampling": False, "safety_tolerance": 2, "translate": True}
    assert "aspect_ratio" not in read(inputImage="https://a.example/1.png").defaults


@pytest.fixture(scope="module")
def checker() -> Provider:
    return make(CASE)


@settings(deadline=None)
@given(body=garbage(wire.FIELDS))
def test_garbage_is_read_or_refused_in_fields(checker: Provider, body: dict[str, Any]) -> None:
    assert_read_or_refused(read_order, body, checker)


@pytest.mark.parametrize("why", list(Why))
def test_every_refusal_is_kies_envelope(why: Why) -> None:
    answer = KieDropin().refuse(Refused(why, "told so", [FieldProblem("prompt", "is required")] if why is Why.FIELDS else None))
    body = msgspec.json.decode(answer.body)
    assert isinstance(body["msg"], str)
    assert (answer.status_code, body["code"], body["data"]) == {
        Why.KEY: (200, 401, None), Why.CREDITS: (200, 402, None), Why.RATE: (429, 429, None), Why.FIELDS: (200, 422, None),
        Why.BODY: (400, 422, None), Why.MEDIA: (415, 422, None), Why.LARGE: (413, 422, None), Why.LATE: (408, 422, None),
        Why.PATH: (404, 404, None), Why.METHOD: (405, 422, None), Why.MODERATED: (200, 400, None), Why.FAILED: (200, 501, None),
        Why.BROKEN: (500, 500, None), Why.MISSING: (200, 404, None), Why.CONFLICT: (409, 422, None), Why.BUSY: (200, 455, None),
        Why.OVERRUN: (200, 500, None), Why.UNKNOWN: (200, 500, None)}[why]


def test_a_wrong_field_is_named() -> None:
    refused = Refused(Why.FIELDS, "", [FieldProblem("prompt", "is required"), FieldProblem("model", "is none")])
    assert rendering.refusal_of(refused)[1]["msg"] == "prompt is required; model is none"


@pytest.mark.parametrize(("why", "code"), [
    (Why.MODERATED, ErrorCode.MODERATED), (Why.CREDITS, ErrorCode.INSUFFICIENT_CREDITS), (Why.FIELDS, ErrorCode.INVALID_REQUEST),
    (Why.RATE, ErrorCode.RATE_LIMITED), (Why.FAILED, ErrorCode.PROVIDER_ERROR), (Why.BUSY, ErrorCode.PROVIDER_UNAVAILABLE),
])
def test_a_task_refused_at_once_says_why_to_any_client(why: Why, code: ErrorCode) -> None:
    """Among such clients is Relay's own."""
    status, body = rendering.refusal_of(Refused(why, "told so", task_id="task_1", error=TaskError(code=code, message="told so")))
    with pytest.raises(ProviderError) as caught:
        reading.read_submission(Answer(status=status, body=msgspec.json.encode(body)))
    assert (caught.value.reason, caught.value.message) == (code, "told so")


@pytest.mark.parametrize(("why", "own", "code"), [
    (Why.BUSY, "505", 505), (Why.FAILED, "500", 500), (Why.FAILED, "404", 404), (Why.FAILED, "401", 501), (Why.FAILED, "1010", 501),
    (Why.FAILED, None, 501),
])
def test_a_task_refused_at_once_has_the_code_that_kie_gave(why: Why, own: str | None, code: int) -> None:
    """But for 401: the key that was wrong is not the app's."""
    error = TaskError(code=ErrorCode.PROVIDER_ERROR, message="told so", provider_code=own)
    assert rendering.refusal_of(Refused(why, "", task_id="task_1", error=error)) == (200, {"code": code, "msg": "told so", "data": None})


class Refusing:
    """A visit whose task is refused at once, with a code of whoever was to make it."""

    def __init__(self, *, is_via: bool) -> None:
        self.request = Request({"type": "http", "headers": [(b"content-type", b"application/json; charset=utf-8")]})
        self.is_via = is_via

    async def json(self) -> dict[str, Any]:
        return {"prompt": "a bird"}

    async def submit(self, _order: Order) -> Task:
        raise Refused(Why.FIELDS, "", task_id="task_1", error=TaskError(code=ErrorCode.INVALID_REQUEST, message="no", provider_code="400"))


@pytest.mark.parametrize(("is_via", "code"), [(True, 422), (False, 400)])
async def test_a_code_of_another_provider_is_not_told_as_kies(*, is_via: bool, code: int) -> None:
    dialect = KieDropin()
    with pytest.raises(Refused) as caught:
        await dialect.endpoints()[0].handle(cast("Visit", Refusing(is_via=is_via)))
    assert msgspec.json.decode(dialect.refuse(caught.value).body)["code"] == code


def test_a_record_is_that_of_the_page() -> None:
    task = new_task("kie", status=TaskStatus.SUCCEEDED, completed_at=datetime(2026, 3, 1, 14, 0, 9, tzinfo=timezone(timedelta(hours=2))))
    assert record(task, LINK) == {
        "taskId": "task_1", "paramJson": '{"prompt":"a bird","aspectRatio":"1:1"}', "completeTime": "2026-03-01T12:00:09Z",
        "createTime": "2026-03-01T12:00:00Z", "response": {"originImageUrl": LINK, "resultImageUrl": LINK}, "successFlag": 1,
        "errorCode": None, "errorMessage": ""}


@pytest.mark.parametrize("status", [TaskStatus.QUEUED, TaskStatus.SUBMITTED, TaskStatus.PROCESSING])
def test_an_open_task_is_generating(status: TaskStatus) -> None:
    told = record(new_task("kie", status=status))
    assert told["successFlag"] == 0
    assert (told["response"], told["completeTime"], told["errorCode"], told["errorMessage"]) == (None, None, None, "")


@pytest.mark.parametrize(("code", "flag", "number"), [
    (ErrorCode.MODERATED, 3, 400), (ErrorCode.PROVIDER_ERROR, 3, 501), (ErrorCode.TIMEOUT, 3, 500), (ErrorCode.OUTCOME_UNKNOWN, 3, 500),
    (ErrorCode.CANCELLED, 3, 500), (ErrorCode.INSUFFICIENT_CREDITS, 2, 402), (ErrorCode.INVALID_REQUEST, 2, 422),
    (ErrorCode.RATE_LIMITED, 2, 429), (ErrorCode.PROVIDER_UNAVAILABLE, 2, 455), (ErrorCode.AUTHENTICATION, 3, 500),
])
def test_a_failure_has_one_of_kies_codes(code: ErrorCode, flag: int, number: int) -> None:
    told = record(failed(code))
    assert (told["successFlag"], told["errorCode"], told["errorMessage"], told["response"]) == (flag, number, "told so", None)


def test_a_code_is_told_again_only_if_it_was_kies_own() -> None:
    assert record(failed(provider_code="505"))["errorCode"] == 505
    assert record(failed(provider_code="505", provider="serevix"))["errorCode"] == 501
    assert record(failed(ErrorCode.INVALID_REQUEST, "400", provider="serevix"))["errorCode"] == 422
    assert record(failed(ErrorCode.AUTHENTICATION, "401"))["errorCode"] == 500


@pytest.mark.parametrize(("task", "code"), [
    (failed(ErrorCode.MODERATED, "400"), 400), (failed(provider_code="501"), 501), (failed(provider_code="505"), 500),
    (failed(ErrorCode.INVALID_REQUEST, "400", provider="serevix"), 500), (failed(ErrorCode.INSUFFICIENT_CREDITS, "402"), 500),
    (new_task("kie", status=TaskStatus.FAILED), 500),
])
def test_a_callback_knows_three_codes_of_failure(task: Task, code: int) -> None:
    told = rendering.callback_of(task, (), task_id="task_1")
    assert (told["code"], told["data"]) == (code, {"taskId": "task_1", "info": {"originImageUrl": "", "resultImageUrl": ""}})


def test_relay_reads_its_own_record_and_callback_as_what_they_tell() -> None:
    done = new_task("kie", status=TaskStatus.SUCCEEDED, completed_at=NOW)
    answer = Answer(status=200, body=msgspec.json.encode(rendering.envelope(wire.OK, "success", record(done, LINK))))
    asked = reading.read_record(answer, asked="task_1", now=datetime(2026, 4, 1, tzinfo=UTC))
    called = reading.read_callback(msgspec.json.encode(rendering.callback_of(done, (LINK,), task_id="task_1")), now=NOW)
    assert asked == called
    assert (called.status, called.provider_task_id, called.pictures[0].url) == (TaskStatus.SUCCEEDED, "task_1", LINK)
