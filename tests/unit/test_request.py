"""What is sent can be read in one way only, whatever stands in its headers."""

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.net.guard import Policy
from relay.net.request import Unsendable, write_recipient

_ALWAYS = {"x-always": "yes", "X-Percent": "100%s%d%%"}
_OWN = ("webhook-id", "webhook-attempt")
_CONTROLS = st.sampled_from("\r\n\0\t\x7f\x85\u2028\ud80d ")
_TEXTS = st.text(st.characters(codec="utf-8") | _CONTROLS)


class Reading:
    """A request as a server reads it."""

    def __init__(self, raw: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.number = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(raw)
        self.first_line = parser.get_method(), parser.get_http_version()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode(), value.decode().strip(" ")))  # which is no part of a value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.number += 1


@given(values=st.tuples(_TEXTS, _TEXTS), body=st.none() | st.binary(), keeps=st.booleans())
@example(values=("evt_1", "1"), body=b"{}", keeps=True)
@example(values=("a\r\nx: b", "1"), body=b"{}", keeps=True)
def test_a_request_is_read_as_it_was_meant_or_is_not_made(values: tuple[str, str], body: bytes | None, *, keeps: bool) -> None:
    recipient = write_recipient("POST", "https://example.com/hook", _ALWAYS, _OWN, Policy(), "acc_1")
    try:
        raw = recipient.request(values, body, keeps=keeps)
    except Unsendable:
        assert not "".join(values).isprintable()
        return
    read = Reading(raw)
    framing = [] if keeps else [("connection", "close")]
    framing += [] if body is None else [("content-length", str(len(body)))]
    assert read.headers == [
        ("host", "example.com"), ("accept", "*/*"), ("accept-encoding", "identity"), *_ALWAYS.items(),
        *((name, value.strip(" ")) for name, value in zip(_OWN, values, strict=True)), *framing]
    assert (read.first_line, read.body, read.number) == ((b"POST", "1.1"), body or b"", 1)


@pytest.mark.parametrize("headers", [{"x": "a\nb"}, {"x\n": "a"}, {"x:y": "a"}, {"": "a"}, {"x": "\ud80d"}], ids=ascii)
def test_what_is_always_the_same_is_checked_when_it_is_written(headers: dict[str, str]) -> None:
    with pytest.raises(Unsendable):
        write_recipient("POST", "https://example.com/hook", headers, (), Policy(), "")
