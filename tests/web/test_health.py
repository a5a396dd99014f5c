"""What those who run the service ask."""

import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import ADMIN_KEY
from tests.web.conftest import House, problem, read_json

pytestmark = pytest.mark.anyio

FORWARDED = {"x-forwarded-for": "127.0.0.1"}


async def test_a_running_service_is_alive_and_ready(house: House) -> None:
    for path in ("/healthz", "/readyz"):
        assert read_json(await house.stranger.get(path), 200) == {"status": "ok"}


async def test_parameters_of_others_do_not_matter(house: House) -> None:
    assert (await house.stranger.get("/healthz?probe=1")).status_code == 200


async def test_a_service_that_stops_is_alive_but_not_ready(separate: House) -> None:
    separate.site.state.stop()

    answer = await separate.stranger.get("/readyz")

    assert "stopping" in problem(answer, 503, "unavailable")["detail"]
    assert answer.headers["retry-after"]
    assert (await separate.stranger.get("/healthz")).status_code == 200


async def test_a_service_that_cannot_write_says_so(separate: House, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "data" / "relay.db") as stranger:
        stranger.execute("DROP TABLE probe")

    detail = problem(await separate.stranger.get("/readyz"), 503, "unavailable")["detail"]
    assert "database" in detail
    assert "probe" not in detail  # what the database says is for the log


class TestMetrics:
    """GET /metrics."""

    async def test_they_are_open_on_this_machine(self, house: House) -> None:
        task = await house.accepted()
        await house.call_back(task)

        answer = await house.stranger.get("/metrics")

        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert 'relay_callbacks_total{provider="apiframe",verdict="applied"}' in answer.text
        assert 'route="/callbacks/{provider}/{token}",status="200"' in answer.text
        assert task["id"] not in answer.text

    async def test_a_request_that_was_forwarded_needs_a_key(self, house: House) -> None:
        problem(await house.stranger.get("/metrics", headers=FORWARDED), 401, "unauthorized")

    @pytest.mark.parametrize("address", ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1", "testclient"])
    async def test_a_request_from_elsewhere_needs_a_key(self, house: House, address: str) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(house.site, client=(address, 1)), base_url="http://relay") as client:
            problem(await client.get("/metrics"), 401, "unauthorized")
            assert (await client.get("/metrics", headers={"x-api-key": ADMIN_KEY})).status_code == 200

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
    async def test_every_spelling_of_this_machine_is_open(self, house: House, address: str) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(house.site, client=(address, 1)), base_url="http://relay") as client:
            assert (await client.get("/metrics")).status_code == 200

    async def test_a_key_must_be_of_the_account_default_and_may_read(self, house: House) -> None:
        reader = await house.with_key("read", account="default")
        submitter = await house.with_key("submit", account="default")
        neighbour = await house.neighbour("read")

        assert (await reader.get("/metrics", headers=FORWARDED)).status_code == 200
        problem(await submitter.get("/metrics", headers=FORWARDED), 403, "forbidden")
        problem(await neighbour.get("/metrics", headers=FORWARDED), 403, "forbidden")
