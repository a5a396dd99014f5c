"""Whatever a provider sends, an Update or an error of ours comes of it, and nothing else: over the line, a few examples for
every provider. The tests of each provider feed its pure readers with many more."""

import functools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import Unreadable
from relay.model import Update
from relay.ports.provider import Provider
from tests.providers.cases import SECRET, Case
from tests.providers.suite import CASES, make, of_each, outcome_of, submit
from tests.providers.upstream import Reply, running_upstream

pytestmark = pytest.mark.anyio

AWKWARD = (
    b"", b" ", b"null", b"true", b"0", b'""', b"[]", b"{}", b"{", b"\xff\xfe\x00", b'{"a":1', b"\xef\xbb\xbf{}", b"[" * 100_000,
    b'{"a":' * 50_000, b"1" * 5000, b"1e999", b'{"code":1e400}', b'{"code":%s}' % (b"9" * 400), b'"\\ud800"',
    b"<html><body>405</body></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b'{"data":[{"b64_json":"***"}]}',
    b'{"data":[{"b64_json":"YQ="}]}', b'{"data":[null,1,"x",{"url":7}]}',
)
KEYS = st.sampled_from([
    "id", "status", "result", "sample", "details", "error", "message", "msg", "errors", "detail", "task_id", "taskId", "image_url",
    "percentage", "progress", "cost", "code", "data", "info", "resultImageUrl", "response", "successFlag", "errorCode", "errorMessage",
    "b64_json", "url", "image_urls", "completeTime", "Moderation Reasons", "loc",
])
WORDS = st.sampled_from([
    "Ready", "Error", "Pending", "Request Moderated", "finished", "failed", "processing", "https://x.example/a.png?se=x",
    "https://x.example/a.png?se=0001-01-01T00:00:00%2B14:00", "http://[", "40%", "inf", "", "\0", "YWJj",
])
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([200, 400, 0, 1, 2, 3]) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | WORDS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12)
BODIES = st.sampled_from(AWKWARD) | st.binary(max_size=60) | st.dictionaries(KEYS, VALUES, max_size=6).map(msgspec.json.Encoder().encode)


@functools.cache
def provider(name: str) -> Provider:
    """One for many examples."""
    return make(next(case for case in CASES if case.name == name))


@of_each
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, status=st.sampled_from([200, 200, 200, 201, 302, 400, 404, 429, 500, 503]),
       content_type=st.sampled_from(["application/json", "text/html", "image/png", "", "é/;;"]))
async def test_garbage_in_an_answer(case: Case, body: bytes, status: int, content_type: str) -> None:
    async with running_upstream() as upstream:
        upstream.answer = Reply(status=status, body=body, headers={"content-type": content_type, "retry-after": "soon"})
        client = make(case, upstream.url)
        await submit(client, case)
        await outcome_of(client.fetch(case.task))
        await client.aclose()


@of_each
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES)
def test_garbage_in_a_callback(case: Case, body: bytes) -> None:
    try:
        update = provider(case.name).read_callback({}, body)
    except Unreadable:
        return
    assert isinstance(update, Update)


@of_each
@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(["x-webhook-secret", "x-webhook-signature", "x-webhook-timestamp"]), value=st.text(max_size=20), body=BODIES)
def test_garbage_in_a_header(case: Case, name: str, value: str, body: bytes) -> None:
    believed = provider(case.name).is_authentic({name: value}, body, secrets=[SECRET], task=case.task)
    assert isinstance(believed, bool)
    if provider(case.name).echoes_secret or not case.callbacks:
        assert not believed
