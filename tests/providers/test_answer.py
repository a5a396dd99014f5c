"""Reading answers tolerantly."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode
from relay.providers.answer import Answer, error_text, failed, id_at, is_link, number_at, percent_at, refusal, signed_until, tidy


@pytest.mark.parametrize(("body", "text"), [
    ({"error": {"message": "a", "type": "t", "code": 1}}, "a"),
    ({"error": "a"}, "a"),
    ({"error": "bad_request", "message": "a"}, "a"),
    ({"error": "Access denied", "error_description": "a", "status_code": 401}, "a"),
    ({"code": 402, "msg": "a", "data": None}, "a"),
    ({"err": "a"}, "a"), ({"error_msg": "a"}, "a"), ({"header": {"message": "a"}}, "a"), ({"response": {"error": {"message": "a"}}}, "a"),
    ({"detail": "a"}, "a"),
    ({"detail": [{"type": "missing", "loc": ["body", "input", "prompt"], "msg": "Field required"}, "b"]},
    "input.prompt: Field required; b"),
    ({"errors": [{"msg": "a"}, {"message": "b"}, 7, {"msg": 8}]}, "a; b"),
    ({"message": None, "detail": "a"}, "a"), ({"message": " ", "detail": "a"}, "a"),
    ({}, ""), ([], ""), ("a", ""), (None, ""), ({"error": 7}, ""), ({"error": {"message": {"deep": 1}}}, ""),
])
def test_the_words_of_an_error_are_found_where_providers_put_them(body: Any, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize(("answer", "text"), [
    (Answer(status=500, body=b"upstream  timed\r\nout"), "upstream timed out"),
    (Answer(status=405, body=b"<html><h1>405</h1></html>"), "HTTP 405 without an explanation"),
    (Answer(status=405, body=b"sorry", content_type="text/html"), "HTTP 405 without an explanation"),
    (Answer(status=401, body=b"{}"), "HTTP 401 without an explanation"),
    (Answer(status=502), "HTTP 502 without an explanation"),
    (Answer(status=502, body=b"\xff\xfe\x00"), "\ufffd\ufffd"),
])
def test_an_answer_that_is_no_json_still_says_what_it_can(answer: Answer, text: str) -> None:
    assert answer.error_text() == text


def test_long_words_are_cut_at_500_characters() -> None:
    assert tidy("ä" * 501) == "ä" * 499 + "…"
    assert tidy("ä" * 500) == "ä" * 500


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1e999", b"nul", b'{"a":"\\ud800"}'])
def test_what_is_no_json_leaves_the_outcome_unknown(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        Answer(status=200, body=body).json()
    assert (caught.value.reason, caught.value.fate) == (ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"'])
def test_what_is_no_object_leaves_the_outcome_unknown(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        Answer(status=200, body=body).json_object()
    assert caught.value.fate is Fate.UNKNOWN


@pytest.mark.parametrize(("status", "held", "reason", "fate"), [
    (400, False, ErrorCode.INVALID_REQUEST, Fate.REFUSED), (401, False, ErrorCode.AUTHENTICATION, Fate.REFUSED),
    (402, True, ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED), (405, False, ErrorCode.INVALID_REQUEST, Fate.REFUSED),
    (406, True, ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED), (408, False, ErrorCode.INVALID_REQUEST, Fate.UNKNOWN),
    (429, False, ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED), (429, True, ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED),
    (503, False, ErrorCode.PROVIDER_UNAVAILABLE, Fate.NOT_ACCEPTED), (503, True, ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN),
    (500, False, ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN), (504, False, ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN),
    (302, False, ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN),
])
def test_a_status_says_what_became_of_a_submission(status: int, *, held: bool, reason: ErrorCode, fate: Fate) -> None:
    error = refusal(Answer(status=status, retry_after=5.0), {406: ErrorCode.INSUFFICIENT_CREDITS}, held=held)
    assert (error.reason, error.fate, error.provider_code, error.retry_after) == (reason, fate, str(status), 5.0)


@pytest.mark.parametrize("words", ["Request Moderated", "NSFW content", "blocked by the safety system", "violates our Content Policy",
                                   "content_policy_violation", "flagged as violating content policies"])
def test_words_of_moderation_win_over_an_invalid_request(words: str) -> None:
    body = msgspec.json.encode({"message": words})
    assert refusal(Answer(status=422, body=body), {}).reason is ErrorCode.MODERATED
    assert refusal(Answer(status=401, body=body), {}).reason is ErrorCode.AUTHENTICATION
    assert failed(ErrorCode.PROVIDER_ERROR, words).code is ErrorCode.MODERATED


@pytest.mark.parametrize(("value", "expected"), [
    ("abc", "abc"), (7, "7"), ("", None), (" ", None), (True, None), (None, None), (1.5, None), ("a\0", None), ("a" * 256, None),
    (2**63, None),
    ([], None),
])
def test_an_id_is_short_visible_text_or_an_integer(value: Any, expected: str | None) -> None:
    assert id_at({"a": {"id": value}}, "a", "id") == expected


@pytest.mark.parametrize(("value", "expected"), [
    (0.4, 40), (1, 100), (1.0, 100), (0, 0), (40, 40), (55.9, 55), ("40%", 40), ("0.4", 40), (-3, 0), (250, 100), ("x", None), (None,
    None),
    (True, None), (10**400, None), ("nan", None), ("inf", None), ([], None),
])
def test_progress_is_a_share_or_percents(value: Any, expected: int | None) -> None:
    assert percent_at({"p": value}, "p", fraction=True) == expected


def test_one_percent_is_no_share() -> None:
    assert percent_at({"p": 1}, "p", fraction=False) == 1


def test_numbers_may_be_spelled() -> None:
    assert [number_at({"n": value}, "n") for value in (4, "4.5", "four", False, None)] == [4.0, 4.5, None, None, None]


@pytest.mark.parametrize(("url", "expected"), [
    ("https://x.example/a?se=2026-03-01T12%3A10%3A04Z&sig=a", datetime(2026, 3, 1, 12, 10, 4, tzinfo=UTC)),
    ("https://x.example/a?se=2026-03-01T14:10:04%2B02:00", datetime(2026, 3, 1, 12, 10, 4, tzinfo=UTC)),
    ("https://x.example/a?se=2026-03-01T12:10:04", datetime(2026, 3, 1, 12, 10, 4, tzinfo=UTC)),
    ("https://x.example/a?se=0001-01-01T00:00:00%2B14:00", None), ("https://x.example/a?se=soon", None), ("https://x.example/a?se=",
    None),
    ("https://x.example/a", None), ("http://[", None),
])
def test_a_signed_link_says_when_it_expires(url: str, expected: datetime | None) -> None:
    assert signed_until(url) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("https://x.example/a.png?sig=a%2Bb", True), ("http://127.0.0.1:8090/a", True), ("ftp://x.example/a", False),
    ("javascript:alert(1)", False),
    ("https://", False), ("/a.png", False), ("https://x.example/a b", False), ("https://x.example/\n", False), ("http://[", False),
    ("", False),
    (None, False), ("https://x.example/" + "a" * 9000, False),
])
def test_a_link_is_http_with_a_host(text: str | None, *, expected: bool) -> None:
    assert is_link(text) is expected


_LINK_PARTS = (
    "http", "https", "HTTPS", "ftp", ":", "//", "/", "?", "#", "@", "[", "]", "::1", "x.example", "\u00fc.example", "\u2100", ":80", ":x",
    " ", "\n", "\0", "\\", "%", ".", "-", "_", "\ud800",
)


@given(text=st.lists(st.sampled_from(_LINK_PARTS), max_size=8).map("".join) | st.text().map("http://".__add__))
@example(text="http://x.example/[")
@example(text="http://x.example[/a")
@example(text="http://\u2100/a")
def test_a_link_is_what_urlsplit_takes_for_one(text: str) -> None:
    try:
        parts = urlsplit(text)
        expected = parts.scheme in ("http", "https") and bool(parts.netloc) and text.isprintable() and " " not in text
    except ValueError:
        expected = False
    assert is_link(text) is expected


@given(body=st.binary(max_size=200), status=st.integers(100, 599))
def test_any_bytes_have_words(body: bytes, status: int) -> None:
    text = Answer(status=status, body=body).error_text()
    assert 0 < len(text) <= 500
    assert text.isprintable()
