"""Kie: what is particular to its submissions and records. Its callbacks have a module of their own."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Fate, Invalid, ProviderError
from relay.model import ErrorCode, Task, TaskStatus, Update
from relay.ports import Provider, ProviderConfig, Rate, TaskRequest
from relay.providers.answer import Answer
from relay.providers.kie import reading
from relay.providers.kie.client import Kie
from tests.providers.upstream import Reply, Upstream, running_upstream

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 20, 10, 30, tzinfo=UTC)
KEY = "kie-key-0123456789"
LINK = "https://tempfile.example.com/a.jpeg?x=1%2F2&sig=a+b"


def client(**config: Any) -> Kie:
    return Kie(ProviderConfig(**{"api_key": KEY, **config}), user_agent="relay/0.1", clock=lambda: NOW)


def task(**fields: Any) -> Task:
    return Task(**{"id": "task_1", "account_id": "acc_1", "provider": "kie", "model": "flux-kontext-pro", "prompt": "a lighthouse",
                   "created_at": NOW, **fields})


def request(**fields: Any) -> TaskRequest:
    return TaskRequest(**{"provider": "kie", "prompt": "a lighthouse", **fields})


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status=status, body=body if isinstance(body, bytes) else msgspec.json.encode(body))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as running:
        yield running


@pytest.fixture
async def kie(upstream: Upstream) -> AsyncIterator[Kie]:
    made = client(base_url=upstream.url)
    yield made
    await made.aclose()


def test_it_is_a_provider() -> None:
    made: Provider = client()
    assert (made.name, made.image_as, made.echoes_secret, made.confirm) == ("kie", "url", False, False)
    assert made.limits.rate == Rate(20, 10.0)
    assert made.limits.queries == Rate(10, 1.0)
    assert made.limits.max_concurrent == 100


async def test_cloudflare_sees_a_browser_and_kie_sees_who_we_are(upstream: Upstream, kie: Kie) -> None:
    upstream.answer = Reply(body={"code": 200, "data": {"taskId": "k1"}})
    await kie.submit(task(), image=None, callback=None)
    assert upstream.requests[0].headers["user-agent"] == "Mozilla/5.0 (compatible; relay/0.1)"


# What is refused before anything is sent


@pytest.mark.parametrize(("fields", "field", "told"), [
    ({"safety_tolerance": 3, "options": {"inputImage": "https://example.com/a.png"}}, "safety_tolerance", "0 to 2"),
    ({"image": "https://example.com/a.png", "options": {"safetyTolerance": 5}}, "options.safetyTolerance", "0 to 2"),
    ({"aspect_ratio": "1:1", "options": {"aspectRatio": "1:1"}}, "options.aspectRatio", "aspect_ratio"),
    ({"options": {"outputFormat": "gif"}}, "options.outputFormat", "jpeg, png"),
])
def test_options_are_held_to_the_limits_of_the_fields(fields: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        client().check(request(**fields))
    assert [error.field for error in caught.value.errors] == [field]
    assert told in caught.value.errors[0].message


# The answer to a submission


@pytest.mark.parametrize(("code", "reason", "fate"), [
    (400, ErrorCode.MODERATED, Fate.REFUSED), (401, ErrorCode.AUTHENTICATION, Fate.REFUSED),
    (402, ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED), (404, ErrorCode.PROVIDER_ERROR, Fate.REFUSED),
    (408, ErrorCode.PROVIDER_ERROR, Fate.REFUSED), (422, ErrorCode.INVALID_REQUEST, Fate.REFUSED),
    (429, ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED), (455, ErrorCode.PROVIDER_UNAVAILABLE, Fate.NOT_ACCEPTED),
    (500, ErrorCode.PROVIDER_ERROR, Fate.REFUSED), (501, ErrorCode.PROVIDER_ERROR, Fate.REFUSED),
    (505, ErrorCode.PROVIDER_UNAVAILABLE, Fate.REFUSED), (433, ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN),
])
@pytest.mark.parametrize("status", [200, 500, 503])
def test_the_body_s_code_is_the_truth(code: int, reason: ErrorCode, fate: Fate, status: int) -> None:
    with pytest.raises(ProviderError) as caught:
        reading.read_submission(answer({"code": code, "msg": "said so", "data": None}, status))
    assert (caught.value.reason, caught.value.fate, caught.value.provider_code) == (reason, fate, str(code))
    assert caught.value.message == "said so"


@pytest.mark.parametrize(("status", "body", "reason", "fate"), [
    (401, b"", ErrorCode.AUTHENTICATION, Fate.REFUSED),
    (403, b"error code: 1010", ErrorCode.PROVIDER_ERROR, Fate.REFUSED),
    (429, b"slow down", ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED),
    (503, b"<html>", ErrorCode.PROVIDER_UNAVAILABLE, Fate.NOT_ACCEPTED),
    (502, b"<html>", ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN),
    (500, b"oops", ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN),
    (200, b"", ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN),
    (200, b'{"code": 200, "data": {}}', ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN),
    (200, b'{"code": 200, "data": "k1"}', ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN),
])
def test_without_a_code_the_status_decides(status: int, body: bytes, reason: ErrorCode, fate: Fate) -> None:
    with pytest.raises(ProviderError) as caught:
        reading.read_submission(answer(body, status))
    assert (caught.value.reason, caught.value.fate) == (reason, fate)


# The record


def record(**data: Any) -> Answer:
    return answer({"code": 200, "msg": "success", "data": {"taskId": "k1", "successFlag": 1, **data}})


def read(said: Answer) -> Update:
    return reading.read_record(said, asked="k1", now=NOW)


@pytest.mark.parametrize("response", [
    {"originImageUrl": "https://o.example.com/1", "resultImageUrl": LINK},
    {"resultUrls": [LINK]},
    {"resultImageUrl": "", "resultUrls": ["", LINK]},
    f'{{"resultImageUrl": "{LINK}"}}',
    f'{{"resultUrls": ["{LINK}"]}}',
], ids=["documented", "resultUrls", "empty first", "JSON in a string", "resultUrls in a string"])
def test_a_finished_record_gives_its_link_byte_for_byte(response: Any) -> None:
    update = read(record(response=response, completeTime="2026-03-20T10:00:00Z", errorCode=None, errorMessage=""))
    assert (update.status, update.provider_task_id) == (TaskStatus.SUCCEEDED, "k1")
    assert [picture.url for picture in update.pictures] == [LINK]


DONE = datetime(2026, 3, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(("complete_time", "since"), [
    ("2026-03-20T10:00:00Z", DONE), ("2026-03-20 10:00:00", DONE), ("2026-03-20T12:00:00+02:00", DONE), (DONE.timestamp(), DONE),
    (int(DONE.timestamp() * 1000), DONE), (str(int(DONE.timestamp() * 1000)), DONE), (None, NOW), ("", NOW), ("soon", NOW), ([], NOW),
    (1e300, NOW), ("2099-01-01T00:00:00Z", NOW), (True, NOW),
])
def test_the_link_lives_fourteen_days_from_completion(complete_time: Any, since: datetime) -> None:
    update = read(record(response={"resultImageUrl": LINK}, completeTime=complete_time))
    assert update.pictures[0].expires_at == since + timedelta(days=14)


@pytest.mark.parametrize("response", [None, {}, "", "nonsense", [], {"resultImageUrl": ""}, {"resultImageUrl": "javascript:alert(1)"}])
def test_success_without_a_link_is_a_failure(response: Any) -> None:
    update = read(record(response=response))
    assert update.status is TaskStatus.FAILED
    assert update.error is not None
    assert update.error.code is ErrorCode.PROVIDER_ERROR


@pytest.mark.parametrize("flag", [0, "0", None, 9])
def test_every_other_flag_is_still_open(flag: Any) -> None:
    assert read(record(successFlag=flag, response=None)) == Update(status=TaskStatus.PROCESSING, provider_task_id="k1")


@pytest.mark.parametrize("flag", [2, 3, "3"])
@pytest.mark.parametrize(("code", "message", "reason"), [
    (400, "bad words", ErrorCode.MODERATED), ("402", "no credits", ErrorCode.INSUFFICIENT_CREDITS), (501, "", ErrorCode.PROVIDER_ERROR),
    (None, "it failed", ErrorCode.PROVIDER_ERROR), (500, "Content was moderated", ErrorCode.MODERATED), ("weird", 5,
    ErrorCode.PROVIDER_ERROR),
])
def test_a_failed_record_fails_with_its_code(flag: Any, code: Any, message: Any, reason: ErrorCode) -> None:
    update = read(record(successFlag=flag, response=None, errorCode=code, errorMessage=message))
    assert update.status is TaskStatus.FAILED
    assert update.error is not None
    assert (update.error.code, update.error.provider_code) == (reason, None if code is None else str(code))
    assert update.error.message


@pytest.mark.parametrize("said", [
    answer({"code": 404, "msg": "no such task", "data": None}), answer({"code": 200, "data": None}), answer(b""), answer(b"", 429),
    answer({"code": 200, "data": {"taskId": "another", "successFlag": 1, "response": {"resultImageUrl": LINK}}}),
    answer({"code": 200, "data": {"successFlag": "x"}}),
], ids=["refused", "no data", "empty", "429", "another task", "flag of nonsense"])
def test_a_query_that_tells_nothing_leaves_the_task_open(said: Answer) -> None:
    with pytest.raises(ProviderError) as caught:
        read(said)
    assert caught.value.fate is Fate.UNKNOWN


async def test_the_record_is_asked_for_by_id(upstream: Upstream, kie: Kie) -> None:
    upstream.answer = Reply(body={"code": 200, "data": {"taskId": "k/1 &", "successFlag": 0}})
    update = await kie.fetch(task(provider_task_id="k/1 &"))
    assert update == Update(status=TaskStatus.PROCESSING, provider_task_id="k/1 &")
    asked = upstream.requests[0]
    assert (asked.method, asked.path) == ("GET", "/api/v1/flux/kontext/record-info?taskId=k%2F1+%26")
    assert asked.headers["authorization"] == f"Bearer {KEY}"


# Garbage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(["k1", LINK, "200", "2026-03-20"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["code", "msg", "data", "taskId", "task_id", "info", "response", "resultImageUrl", "resultUrls", "successFlag",
                         "errorCode", "errorMessage", "completeTime"]), inner, max_size=6),
    max_leaves=12,
)
ENVELOPES = st.fixed_dictionaries({"code": st.sampled_from([200, 400, 500, "200", 10**30, -1, None])}, optional={"msg": JSON, "data": JSON})
BODIES = st.binary(max_size=60) | (JSON | ENVELOPES).map(lambda value: msgspec.json.encode(value) if not _is_huge(value) else b"1e999")


def _is_huge(value: Any) -> bool:
    """msgspec writes integers of at most 64 bits."""
    try:
        msgspec.json.encode(value)
    except OverflowError:
        return True
    return False


@settings(deadline=None)
@given(BODIES, st.integers(100, 599))
def test_garbage_in_an_answer_gives_an_update_or_a_provider_error(body: bytes, status: int) -> None:
    said = Answer(status=status, body=body)
    for reader in (reading.read_submission, read):
        with contextlib.suppress(ProviderError):
            assert isinstance(reader(said), Update)
