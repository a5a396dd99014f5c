"""Log lines: one a record, no secret in them, nothing that a stranger could forge."""

import io
import json
import logging
from typing import NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.observe.log import MASK, redact, redact_lines, set_up_logging
from tests.unit.logs import logged, logging_as_before

pytestmark = pytest.mark.usefixtures(logging_as_before.__name__)


def broken(message: str) -> NoReturn:
    raise ValueError(message)


@pytest.mark.parametrize(("text", "leak"), [
    ("key rly_abcdefghijklmnopqrstuvwxyz012345-_", "abcdefghij"),
    ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/==", "MfKQ9r8"),
    ("Authorization: Bearer sk-12345.67", "12345"),
    ("{'authorization': 'Bearer sk-12345'}", "12345"),
    ("authorization: Basic dXNlcjpwYXNz", "dXNl"),
    ("POST /callbacks/kie/task_1.abc-DEF_9", "task_1"),
    ("POST /callbacks/kie/task_1.abc-DEF_9?x=1 HTTP/1.1", "abc-DEF"),
    ("GET http://relay/callbacks/apiframe/task_1.sig", ".sig"),
    ("GET /images/img_1?token=abc.def&x=1", "abc.def"),
    ("GET /images/img_1?x=1&signature=abc.def", "abc.def"),
    ("GET /images/img_1?key=abc.def", "abc.def"),
    ("the query was x=1&sig=abc.def", "abc.def"),
    ("x-api-key: abcdef", "abcdef"),
    ('{"x-webhook-secret": "s3cr3t"}', "s3cr3t"),
    ("api_key=abcdef", "abcdef"),
])
def test_what_looks_like_a_secret_is_masked(text: str, leak: str) -> None:
    assert leak in text
    assert leak not in redact(text)
    assert MASK in redact(text)


BITS = ("rly_", "whsec_", "Bearer", "basic ", "/callbacks/", "/callbacks/kie/", MASK, "?token=", "&sig=", "x-api-key", "api_key",
        "webhook_secret", ": ", '"', "abcdef", "K", "\u017f", "}", "{", " ", "\n")


@example("Bearer\nabcdef")
@example(f"/callbacks/kie/{MASK}\n/callbacks/kie/abcdef")
@given(text=st.lists(st.sampled_from(BITS), max_size=24).map("".join))
def test_lines_are_redacted_together_as_each_is_by_itself(text: str) -> None:
    assert redact_lines(text) == "\n".join(redact(line) for line in text.split("\n"))


@pytest.mark.parametrize("text", [
    f"POST /callbacks/kie/{MASK} 200",
    "delivery dlv_01 to https://hooks.example.com/done?order=A-17 answered 503", "the key key_01 was revoked", "early_access is on",
])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("style", ["json", "text"])
def test_secrets_are_masked_in_arguments_fields_and_tracebacks(style: str) -> None:
    stream = logged(style)
    said = "Bearer " + "leak-1"
    try:
        broken(said)
    except ValueError:
        logging.getLogger("relay.test").exception("got %s", "rly_leak-2", extra={"url": "/callbacks/kie/leak-3"})
    line = stream.getvalue()
    assert not [leak for leak in ("leak-1", "leak-2", "leak-3") if leak in line]
    assert line.count(MASK) == 3


def test_a_json_record_is_one_line_with_its_fields() -> None:
    stream = logged("json")
    logging.getLogger("relay.test").warning("took %d ms", 5, extra={"task_id": "task_1", "level": "not this", "odd": object()})
    entry = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert entry.pop("time").endswith("Z")
    assert "object" in entry.pop("odd")
    assert entry == {"level": "warning", "logger": "relay.test", "message": "took 5 ms", "task_id": "task_1"}


def test_an_exception_is_one_field_of_a_json_record() -> None:
    stream = logged("json")
    try:
        broken("first\nsecond")
    except ValueError:
        logging.getLogger("relay.test").exception("it broke")
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue())["exception"].endswith("ValueError: first\nsecond")


def test_a_masked_json_line_is_still_json() -> None:
    stream = logged("json")
    logging.getLogger("relay.test").info("Bearer abc", extra={"x-api-key": "abc", "path": '/callbacks/kie/abc"', "next": "untouched"})
    entry = json.loads(stream.getvalue())
    assert entry["message"] == f"Bearer {MASK}"
    assert entry["x-api-key"] == MASK
    assert entry["next"] == "untouched"


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("sneaky", ["\n2026 INFO forged", "\r\n", "\x1b[31mred", "\x9b31m", "\u2028", "\u202e", "\x00"], ids=ascii)
def test_a_stranger_can_forge_neither_a_line_nor_a_terminal_sequence(style: str, sneaky: str) -> None:
    stream = logged(style)
    logging.getLogger("relay.test").info("path %s", sneaky, extra={"field": sneaky})
    written = stream.getvalue()
    assert written.endswith("\n")
    assert sneaky[0] not in written[:-1]


def test_in_text_a_traceback_follows_indented() -> None:
    stream = logged("text")
    try:
        broken("first\nINFO forged")
    except ValueError:
        logging.getLogger("relay.test").exception("it broke", extra={"task_id": "task_1"})
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR   relay.test: it broke task_id=task_1")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_the_level_is_that_of_our_own_records_and_libraries_speak_from_warning_on() -> None:
    stream = logged("text", "debug")
    logging.getLogger("relay.test").debug("ours")
    logging.getLogger("httpx").info("theirs, chatting")
    logging.getLogger("httpx").warning("theirs, warning")
    assert [line.split(": ")[1] for line in stream.getvalue().splitlines()] == ["ours", "theirs, warning"]


def test_the_servers_own_records_come_through_here_but_not_its_access_log() -> None:
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    stream = logged("json")
    logging.getLogger("uvicorn.error").error("server trouble")
    logging.getLogger("uvicorn.access").error("GET /callbacks/kie/token")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["server trouble"]


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("odd", ["\udc80", "\x7f", "\udc80\x7f\n"], ids=ascii)
def test_what_no_stream_takes_is_escaped(style: str, odd: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", newline="")
    set_up_logging(style=style, level="info", stream=stream)
    logging.getLogger("relay.test").info("path %s", odd, extra={"field": odd})
    stream.seek(0)
    written = stream.read()
    assert written.endswith("\n")
    assert not set(odd) & set(written[:-1])
    if style == "json":
        assert (entry := json.loads(written))["message"] == f"path {odd}"
        assert entry["field"] == odd
