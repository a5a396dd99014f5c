"""What is said of a request, and what is put to its answer."""

import re
from urllib.parse import parse_qsl, quote, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import ASGIApp

from relay.ports import NullMeter
from relay.web.middleware import Journal, masked

PATH_BITS = ("/", "/callbacks/", "callbacks", "kie", "token.sig", "\n", "%0a", "ü", "**", "?", " ", "~", ":", "&", "\x00")
QUERY_BITS = ("&", "=", ";", "token", "limit", "metadata.x", "%41", "+", "*", "\xe9", "3")
PATHS = st.tuples(st.sampled_from(("/", "/callbacks/")), st.lists(st.sampled_from(PATH_BITS)).map("".join)).map("".join)
QUERIES = st.lists(st.sampled_from(QUERY_BITS)).map("".join)


def said_of(path: str, query: str) -> str:
    """The long way: the capability cut out, the rest quoted, and each value weighed."""
    path = quote(re.sub(r"(?s)^(/callbacks/[^/]*/).+", r"\1********", path), safe="/:*~")
    shown = [(name, value if name == "limit" else "***") for name, value in parse_qsl(query, keep_blank_values=True)]
    return f"{path}?{urlencode(shown, safe='*')}" if shown else path


@given(path=PATHS, query=QUERIES)
def test_a_path_is_said_quoted_without_capability_and_unknown_values(path: str, query: str) -> None:
    assert masked({"path": path, "query_string": query.encode("latin-1")}) == said_of(path, query)


async def ask(app: ASGIApp) -> httpx.Response:
    journal = Journal(app, meter=NullMeter(), new_id=lambda prefix: f"{prefix}_1")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(journal), base_url="http://relay") as client:
        return await client.get("/")


OURS = {
    "x-request-id": "req_1", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'", "cache-control": "no-store",
}


@pytest.mark.parametrize("own", [
    {}, {"etag": "1"}, {"x-request-id": "of-the-answer"}, {"cache-control": "no-cache", "referrer-policy": "origin"},
], ids=["none", "another", "the id", "two"])
@pytest.mark.anyio
async def test_an_answer_keeps_its_own_headers_and_gets_each_of_ours_that_it_lacks(own: dict[str, str]) -> None:
    answer = await ask(Response(headers=own))
    assert sorted(answer.headers.multi_items()) == sorted({"content-length": "0", **OURS, **own}.items())
