"""A public URL with a path: a proxy takes it away, and what Relay says of itself has it all the same."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.e2e.harness import serving
from tests.e2e.shell import client
from tests.web.conftest import TASK, House, Running, read_json, relay_in
from tests.web.subscribing import PATH, URL

pytestmark = pytest.mark.anyio

BELOW = "/below/it"


class Proxy:
    """Knows the application below the path alone, and takes that away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        assert path.startswith(f"{BELOW}/"), path
        await self._app({**scope, "path": path.removeprefix(BELOW)}, receive, send)


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Running]:  # noqa: ARG001 -- the plugin wants it
    folder = tmp_path_factory.mktemp("relay") / "data"
    async with relay_in(folder, RELAY_PUBLIC_URL=f"https://relay.test{BELOW}/") as inside, serving(Proxy(inside.site)) as url:
        yield inside._replace(url=url + BELOW)


async def follow(house: House, answer: httpx.Response) -> dict[str, Any]:
    """What is at the Location of an answer."""
    place = urljoin(str(answer.url), answer.headers["location"])
    return read_json(await house.api.get(place), 200)


@pytest.mark.parametrize(("path", "wish"), [
    ("/api/v1/tasks", TASK), ("/api/v1/tasks/watch", {"provider": "apiframe"}), (PATH, {"url": URL}),
])
async def test_the_location_leads_to_what_was_made(house: House, path: str, wish: dict[str, Any]) -> None:
    answer = await house.api.post(path, json=wish)
    assert answer.headers["location"].startswith(f"{BELOW}/api/v1/")
    assert (await follow(house, answer))["id"] == answer.json()["id"]


async def test_the_location_leads_to_the_replay(house: House) -> None:
    subscription = read_json(await house.api.post(PATH, json={"url": URL}), 201)
    answer = await house.api.post(f"{PATH}/{subscription['id']}/replay")
    assert (await follow(house, answer))["id"] == answer.json()["id"]


@pytest.mark.parametrize("page", ["/", "/docs"])
async def test_the_links_of_a_page_lead_on(house: House, page: str) -> None:
    answer = await house.stranger.get(page)
    links = re.findall(r'href="([^":]+)"', answer.text)
    assert "openapi.json" in links
    for link in links:
        assert (await house.stranger.get(urljoin(str(answer.url), link))).status_code == 200, link


async def test_the_document_says_where_its_paths_begin(house: House) -> None:
    document = read_json(await house.stranger.get("/openapi.json"), 200)
    assert document["servers"] == [{"url": BELOW}]


async def test_the_command_line_finds_the_service_there(house: House) -> None:
    task = await house.submit()
    key = read_json(await house.api.post("/api/v1/keys", json={"name": "shell", "scopes": ["read"]}), 201)["key"]
    environ = {"RELAY_URL": str(house.stranger.base_url), "RELAY_API_KEY": key}

    ready, listed = await to_thread.run_sync(lambda: [client(*words, **environ) for words in (["healthcheck"], ["tasks", "--json"])])

    assert (ready.exit_code, ready.output) == (0, "ready\n")
    assert [one["id"] for one in json.loads(listed.stdout)["data"]] == [task["id"]]
