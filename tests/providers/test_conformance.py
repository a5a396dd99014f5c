"""What every provider must do. A new one is done when this passes with its case."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from relay.errors import Fate, Invalid, ProviderNotConfigured, RequestError, Unreadable
from relay.ports.provider import Parameter, Rate, TaskRequest
from relay.providers import PROVIDERS
from tests.providers.cases import KEY, SECRET, Case, Check, Exchange, Incoming, Submission, Told
from tests.providers.suite import CASES, TARGET, assert_outcome, each, make, of_each, outcome_of, refused_submit, submit
from tests.providers.upstream import Reply, Upstream, running_upstream

pytestmark = pytest.mark.anyio


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as upstream:
        yield upstream


def test_every_provider_has_a_case() -> None:
    assert sorted(case.name for case in CASES) == sorted(PROVIDERS)


# What goes out and what comes back


@each("submissions")
async def test_the_documented_request_goes_out(case: Case, entry: Submission, upstream: Upstream) -> None:
    upstream.answer = case.submits[0].answer
    provider = make(case, upstream.url)
    await provider.submit(entry.task, image=entry.image, callback=TARGET if entry.with_callback else None)
    await provider.aclose()
    [request] = upstream.requests
    assert (request.method, request.path) == (entry.method, entry.path)
    assert request.json == entry.body
    assert {name: request.headers.get(name) for name in entry.headers} == entry.headers
    assert request.headers["content-type"] == "application/json"
    assert "relay/test" in request.headers["user-agent"]


@each("submits")
async def test_an_answer_to_a_submission_is_read(case: Case, entry: Exchange, upstream: Upstream) -> None:
    upstream.answer = entry.answer
    provider = make(case, upstream.url)
    assert_outcome(await submit(provider, case), entry.outcome)
    await provider.aclose()


@each("fetches")
async def test_an_answer_to_a_query_is_read(case: Case, entry: Exchange, upstream: Upstream) -> None:
    upstream.answer = entry.answer
    provider = make(case, upstream.url)
    assert_outcome(await outcome_of(provider.fetch(case.task)), entry.outcome)
    await provider.aclose()
    assert [request.path for request in upstream.requests] == [case.query]


@each("callbacks")
def test_a_callback_is_read(case: Case, entry: Incoming) -> None:
    body = entry.body if isinstance(entry.body, bytes) else msgspec.json.encode(entry.body)
    provider = make(case)
    if entry.outcome is None:
        with pytest.raises(Unreadable):
            provider.read_callback({}, body)
    else:
        assert provider.read_callback({}, body) == entry.outcome


@of_each
def test_a_callback_without_its_secret_is_not_authentic(case: Case) -> None:
    provider = make(case)
    if not provider.echoes_secret:
        return
    for secret in ("", "wrong", SECRET + " ", "é"):
        assert not provider.is_authentic({"x-webhook-secret": secret}, b"{}", secrets=[SECRET, ""], task=case.task)
    assert not provider.is_authentic({}, b"{}", secrets=[SECRET, ""], task=case.task)
    assert not provider.is_authentic({"x-webhook-secret": SECRET}, b"{}", secrets=[], task=case.task)
    assert provider.is_authentic({"x-webhook-secret": SECRET}, b"{}", secrets=["newer", SECRET], task=case.task)


@each("told")
def test_a_task_is_told_in_the_shape_of_its_provider(case: Case, entry: Told) -> None:
    message = make(case).callback_for(entry.task, entry.urls)
    assert message.content_type == "application/json"
    assert msgspec.json.decode(message.body) == entry.body


# What it takes


@each("checks")
def test_a_request_is_checked(case: Case, entry: Check) -> None:
    request = msgspec.convert({"provider": case.name, "prompt": "a lighthouse", **entry.fields}, TaskRequest)
    error: RequestError | None = None
    try:
        make(case).check(request)
    except RequestError as exc:
        error = exc
    assert type(error) is (entry.error or type(None)), error
    if error is not None:
        assert sorted(problem.field for problem in error.errors) == sorted(entry.names)
        assert [word for word in entry.words if word not in error.message] == [], error.message


@of_each
def test_it_describes_what_its_document_says(case: Case) -> None:
    info = make(case).describe()
    assert (info.name, info.configured) == (case.name, True)
    assert make(case, key=None).describe().configured is False
    assert {model.name: set(model.parameters) - {"prompt"} for model in info.models} == case.takes
    assert [model.name for model in info.models if model.default] == [next(iter(case.takes))]
    assert make(case).model_for(TaskRequest(provider=case.name, prompt="p")) == next(iter(case.takes))


def values_beyond(parameter: Parameter) -> Iterator[Any]:
    if parameter.minimum is not None:
        yield parameter.minimum - 1
    if parameter.maximum is not None:
        yield parameter.maximum + 1
    if parameter.enum is not None:
        yield "nonsense" if parameter.type == "string" else -7


@of_each
def test_every_limit_that_it_describes_is_enforced_unless_advisory(case: Case) -> None:
    provider = make(case)
    for model in provider.describe().models:
        for field, parameter in model.parameters.items():
            for value in values_beyond(parameter):
                request = msgspec.convert({"provider": case.name, "prompt": "p", "model": model.name, field: value}, TaskRequest)
                if parameter.advisory:
                    provider.check(request)
                else:
                    with pytest.raises(RequestError, match=field):
                        provider.check(request)


@of_each
@pytest.mark.parametrize(("fields", "field"), [
    ({"prompt": ""}, "prompt"), ({"prompt": " \n\t"}, "prompt"), ({"prompt": "a\0b"}, "prompt"),
    ({"model": "../../v1/other"}, "model"), ({"model": ".."}, "model"), ({"model": "m" * 101}, "model"),
    ({"options": {"prompt": "another"}}, "options.prompt"), ({"options": {"model": "m"}}, "options.model"),
    ({"options": {"webhook_url": "https://x.example"}}, "options.webhook_url"),
    ({"options": {"webhook_secret": "s"}}, "options.webhook_secret"),
    ({"options": {"callBackUrl": "https://x.example"}}, "options.callBackUrl"),
    ({"options": {"other": ["a", {"b": "\0"}]}}, "options.other"), ({"options": {"other": {"\0": 1}}}, "options.other"),
    ({"options": {"other": 2**63}}, "options.other"), ({"options": {"other": -(2**63) - 1}}, "options.other"),
], ids=str)
def test_what_nobody_takes_is_refused_by_name(case: Case, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        make(case).check(msgspec.convert({"provider": case.name, "prompt": "p", **fields}, TaskRequest))
    assert [problem.field for problem in caught.value.errors] == [field]


@of_each
def test_one_picture_and_options_that_nobody_knows_are_good(case: Case) -> None:
    make(case).check(TaskRequest(provider=case.name, prompt="p", n=1, options={"brand_new": {"a": [1, 2.5, None, True, "x"]}}))


@of_each
def test_all_problems_are_named_at_once(case: Case) -> None:
    with pytest.raises(Invalid) as caught:
        make(case).check(TaskRequest(provider=case.name, prompt=" ", options={"prompt": "x", "model": "y"}))
    assert [problem.field for problem in caught.value.errors] == ["prompt", "options.prompt", "options.model"]


@of_each
async def test_without_a_key_nothing_is_taken_or_sent(case: Case, upstream: Upstream) -> None:
    provider = make(case, upstream.url, key=None)
    with pytest.raises(ProviderNotConfigured):
        provider.check(TaskRequest(provider=case.name, prompt="p"))
    assert (await refused_submit(provider, case)).fate is Fate.REFUSED
    assert upstream.requests == []
    await provider.aclose()


@of_each
def test_the_operator_sets_other_limits(case: Case) -> None:
    provider = make(case, max_concurrent=3, rate=Rate(2, 1.0), deadline=60.0)
    assert (provider.limits.max_concurrent, provider.limits.rate, provider.deadline) == (3, Rate(2, 1.0), 60.0)
    assert provider.limits.queries == make(case).limits.queries


# What a failure means


@of_each
async def test_where_nobody_listens_nothing_was_accepted(case: Case) -> None:
    async with running_upstream() as upstream:
        url = upstream.url
    provider = make(case, url)
    assert (await refused_submit(provider, case)).fate is Fate.NOT_ACCEPTED
    await provider.aclose()


@of_each
@pytest.mark.parametrize("cut", [
    b"", b"HTTP/1.1 200 OK\r\ncontent-le", b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"id"', b"what?\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nlocation: http://[:::/\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd",
], ids=["nothing", "half a head", "half a body", "no HTTP", "a bad chunk", "a bad length", "a bad location", "bad gzip"])
async def test_an_answer_cut_short_leaves_the_outcome_unknown(case: Case, cut: bytes, upstream: Upstream) -> None:
    upstream.answer = cut
    provider = make(case, upstream.url)
    assert (await refused_submit(provider, case)).fate is Fate.UNKNOWN
    assert len(upstream.requests) == 1
    await provider.aclose()


@of_each
async def test_a_provider_that_never_answers_is_not_waited_for(case: Case, upstream: Upstream) -> None:
    async def stall(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    upstream.answer = stall
    provider = make(case, upstream.url, timeout=0.1)
    assert (await refused_submit(provider, case)).fate is Fate.UNKNOWN
    await provider.aclose()


@of_each
@pytest.mark.parametrize(("status", "retry_after", "seconds"), [(429, "7", 7), (503, "Sun, 01 Mar 2026 12:00:09 GMT", 9)])
async def test_a_busy_provider_says_when_to_come_again(case: Case, status: int, retry_after: str, seconds: int, upstream: Upstream) -> None:
    upstream.answer = Reply(status=status, body={"error": "busy"}, headers={"retry-after": retry_after})
    provider = make(case, upstream.url)
    error = await refused_submit(provider, case)
    assert error.retry_after == seconds
    assert error.fate is (Fate.UNKNOWN if status == 503 and case.is_held else Fate.NOT_ACCEPTED)
    await provider.aclose()


@of_each
@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 406, 422, 429, 500, 503])
async def test_a_key_that_is_echoed_goes_nowhere(case: Case, status: int, upstream: Upstream) -> None:
    words = f"the key {KEY} is wrong"
    upstream.answer = Reply(status=status, body={"error": {"message": words}, "detail": words, "errors": [{"msg": words}],
                                                 "code": status, "msg": words, "status": "Error", "message": words})
    provider = make(case, upstream.url)
    for outcome in (await submit(provider, case), await outcome_of(provider.fetch(case.task))):
        assert KEY not in f"{outcome} {outcome!r} {getattr(outcome, 'provider_code', None)}"
    assert KEY not in f"{provider!r} {vars(provider)!r}"
    await provider.aclose()
