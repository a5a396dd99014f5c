"""How refusals and failures look, and what is around every answer."""

import logging

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from relay.errors import Fate, ProviderError, RateLimited, StoreError
from relay.web.errors import TITLES, Problems
from tests.web.conftest import House, problem

pytestmark = pytest.mark.anyio


class Failing:
    """An application that fails, after the answer has begun or before."""

    def __init__(self, exc: Exception, *, has_begun: bool = False) -> None:
        self._exc = exc
        self._has_begun = has_begun

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self._has_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise self._exc


async def ask(app: Failing) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Problems(app)), base_url="http://relay") as client:
        return await client.get("/")


async def test_a_problem_has_all_its_members(house: House) -> None:
    found = problem(await house.api.get("/api/v1/tasks?limit=0&colour=red"), 422, "invalid_request")

    assert set(found) == {"type", "title", "status", "code", "detail", "errors"}
    assert found["type"] == "urn:relay:problem:invalid_request"
    assert found["title"] == TITLES["invalid_request"]
    assert all(set(error) == {"field", "message"} for error in found["errors"])


@pytest.mark.parametrize("path", [
    "/nothing", "/api/v1/nothing", "/api/v1/tasks/", "//api/v1/tasks", "/api/v2/tasks", "/callbacks/apiframe",
])
async def test_a_path_that_is_not_there_is_not_found(house: House, path: str) -> None:
    problem(await house.api.get(path), 404, "not_found")


@pytest.mark.parametrize("name", ["task_x", "x" * 101, "a%20b", "%00", "%2e%2e%2fkeys", "%ff", "ü"])
async def test_an_id_of_any_shape_is_not_found(house: House, name: str) -> None:
    problem(await house.api.get(f"/api/v1/tasks/{name}"), 404, "not_found")


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("PUT", "/api/v1/tasks", {"GET", "HEAD", "POST"}), ("POST", "/api/v1/tasks/task_x", {"GET", "HEAD", "DELETE"}),
    ("GET", "/callbacks/apiframe/token", {"POST"}), ("OPTIONS", "/healthz", {"GET", "HEAD"}), ("TRACE", "/api/v1/me", {"GET", "HEAD"}),
])
async def test_a_wrong_method_is_told_with_those_that_are_right(house: House, method: str, path: str, allowed: set[str]) -> None:
    answer = await house.api.request(method, path)

    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_a_parameter_that_nobody_reads_is_named(house: House) -> None:
    found = problem(await house.api.get("/api/v1/me?colour=red"), 422, "invalid_request")

    assert found["errors"] == [{"field": "colour", "message": "is not known; known are none"}]


async def test_what_nobody_expected_is_told_without_a_word_about_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    found = problem(await ask(Failing(RuntimeError("the password is hunter2"))), 500, "internal")

    assert "hunter2" not in str(found)
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(("exc", "status", "code", "retry_after"), [
    (StoreError("disk I/O error at /srv/relay.db"), 503, "unavailable", "1"),
    (ProviderError("provider_unavailable", "no answer", fate=Fate.NOT_ACCEPTED), 503, "unavailable", "5"),
    (ProviderError("rate_limited", "slow down", fate=Fate.NOT_ACCEPTED, retry_after=17.2), 503, "unavailable", "17"),
    (RateLimited(retry_after=3), 429, "rate_limited", "3"),
    (RateLimited(), 429, "rate_limited", "5"),
], ids=["store", "provider", "provider that says when", "too many", "too many for now"])
async def test_what_passes_says_when_to_come_back(exc: Exception, status: int, code: str, retry_after: str) -> None:
    answer = await ask(Failing(exc))

    assert "/srv" not in str(problem(answer, status, code))
    assert answer.headers["retry-after"] == retry_after


async def test_an_answer_that_has_begun_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError):
        await ask(Failing(RuntimeError("late"), has_begun=True))

    assert "an answer broke off" in caplog.text


async def test_every_answer_has_a_request_id_and_security_headers(house: House) -> None:
    for answer in (await house.stranger.get("/healthz"), await house.stranger.get("/api/v1/tasks"), await house.stranger.get("/nothing")):
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("given", "is_taken"), [("caller-0001", True), ("short", False), ("two words here", False), ("x" * 65, False)])
async def test_a_request_id_that_is_one_is_kept(house: House, given: str, is_taken: bool) -> None:  # noqa: FBT001 -- a case of the table
    answer = await house.stranger.get("/healthz", headers={"x-request-id": given})

    assert (answer.headers["x-request-id"] == given) is is_taken


async def test_head_answers_like_get_without_a_body(house: House) -> None:
    answer = await house.api.head("/api/v1/me")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_the_log_shows_neither_tokens_nor_signatures(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "relay.access"):
        await house.stranger.post("/callbacks/apiframe/very-secret%0Aforged")
        await house.stranger.get("/images/img_1?token=very-secret&limit=1")
        await house.api.get("/api/v1/tasks?metadata.name=very-secret&limit=3")

    lines = [record.getMessage() for record in caplog.records if record.name == "relay.access"]
    assert lines == ["POST /callbacks/apiframe/******** 401", "GET /images/img_1?token=***&limit=1 404",
                     "GET /api/v1/tasks?metadata.name=***&limit=3 200"]
