"""A whole relay, workers and all, behind a real server, with an upstream that does what a test tells it.

One relay serves all tests of a module; each test has an account of its own, so that it sees only what it made itself. A test that
breaks something takes `separate`, a relay for it alone.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from relay.app import open_app
from relay.cli.first_start import prepare_data_dir
from relay.ids import new_id
from relay.settings import Settings, load_settings
from tests.e2e.harness import ADMIN_KEY, serving
from tests.e2e.upstream import Upstream

PUBLIC_URL = "https://relay.test"
TASK = {"provider": "apiframe", "prompt": "a lighthouse at dusk"}
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, but dear to make anew for each client


class Running(NamedTuple):
    """A relay at `url`. Its upstream accepts every submit and says no more."""

    site: Starlette
    url: str
    upstream: Upstream


class House:
    """What one test has of it: `api` is the admin in an account of its own, `stranger` has no key."""

    def __init__(self, running: Running, stack: AsyncExitStack) -> None:
        self.site, self._url, self.upstream = running
        self._stack = stack
        self.account = new_id("test")

    async def open(self) -> "House":
        self.stranger = await self._client({})
        self.operator = await self.client(ADMIN_KEY)
        read_json(await self.operator.post("/api/v1/accounts", json={"name": self.account}), 201)
        self.api = await self._client({"authorization": f"Bearer {ADMIN_KEY}", "x-relay-account": self.account})
        return self

    async def client(self, key: str) -> httpx.AsyncClient:
        return await self._client({"authorization": f"Bearer {key}"})

    async def _client(self, headers: dict[str, str]) -> httpx.AsyncClient:
        return await self._stack.enter_async_context(httpx.AsyncClient(base_url=self._url, headers=headers, timeout=70, verify=_TLS))

    async def with_key(self, *scopes: str, account: str | None = None) -> httpx.AsyncClient:
        """The API as a new key with these scopes sees it; without `account`, in the account of the test."""
        wish = {"name": "a key", "scopes": scopes, "account": account}
        return await self.client(read_json(await self.api.post("/api/v1/keys", json=wish), 201)["key"])

    async def neighbour(self, *scopes: str) -> httpx.AsyncClient:
        """The API as a key of another new account sees it."""
        account = new_id("test")
        read_json(await self.operator.post("/api/v1/accounts", json={"name": account}), 201)
        return await self.with_key(*scopes, account=account)

    async def submit(self, **fields: Any) -> dict[str, Any]:
        """A task, as the answer shows it."""
        return read_json(await self.api.post("/api/v1/tasks", json={**TASK, **fields}), 202)

    async def accepted(self, **fields: Any) -> dict[str, Any]:
        """A task that APIFRAME has been asked for."""
        task = await self.submit(**fields)
        await self.asked_for(task)
        return task

    async def asked_for(self, task: dict[str, Any] | None = None) -> dict[str, Any]:
        """What APIFRAME was asked, once it was: for this task, or for the next."""
        while True:
            found = [body for body in self.upstream.submits if task is None or task["id"] in body.get("webhook_url", "")]
            if found:
                return found[-1]
            self.upstream.arrived.clear()
            await self.upstream.arrived.wait()

    async def see(self, task: dict[str, Any], *, wait: int = 0) -> dict[str, Any]:
        return read_json(await self.api.get(f"/api/v1/tasks/{task['id']}", params={"wait": wait} if wait else None), 200)

    async def call_back(self, task: dict[str, Any] | None = None, **changes: Any) -> httpx.Response:
        """What APIFRAME sends when this task, or the one it was asked for last, has ended."""
        asked = await self.asked_for(task)
        path = urlsplit(asked["webhook_url"]).path
        proof = {"x-webhook-secret": asked["webhook_secret"]}
        return await self.stranger.post(path, **{"json": callback_body(), "headers": proof, **changes})


def callback_body() -> dict[str, Any]:
    return {"task_id": "up-1", "task_type": "flux-imagine", "original_image_url": "https://images.example.com/o.png",
            "image_url": "https://images.example.com/1.png"}


def settings_for(folder: Path, upstream_url: str, **changes: str) -> Settings:
    """Kie and YEScale have no key. `changes`: of the environment."""
    environ = {"RELAY_DATA_DIR": str(folder), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_PUBLIC_URL": PUBLIC_URL, "RELAY_SHUTDOWN_GRACE": "2s",
               "RELAY_ALLOW_CIDRS": "127.0.0.0/8"}
    for name in ("apiframe", "serevix", "segmind"):
        environ |= {f"RELAY_{name.upper()}_API_KEY": "secret", f"RELAY_{name.upper()}_BASE_URL": f"{upstream_url}/{name}"}
    return prepare_data_dir(load_settings(environ | changes)).settings


def read_json(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an answer, which must have this status."""
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in the answer, which must be this one."""
    assert answer.headers["content-type"] == "application/problem+json"
    found = dict(answer.json())
    assert (answer.status_code, found["status"], found["code"]) == (status, status, code), found
    return found


def named_fields(answer: httpx.Response, code: str = "invalid_request") -> set[str]:
    """The fields that a 422 names."""
    return {error["field"] for error in problem(answer, 422, code)["errors"]}


@asynccontextmanager
async def relay_in(folder: Path, **changes: str) -> AsyncIterator[Running]:
    """A relay with its data in `folder`. `changes`: of its environment."""
    upstream = Upstream()
    upstream.submit_gate.set()
    upstream.poll_gate.set()
    async with serving(upstream.app()) as upstream_url:
        settings = settings_for(folder, upstream_url, **changes)
        async with open_app(settings) as site, serving(site) as url:
            yield Running(site, url, upstream)
            site.state.stop()
        upstream.submit_gate.set()
        upstream.poll_gate.set()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Running]:  # noqa: ARG001 -- the plugin wants it
    async with relay_in(tmp_path_factory.mktemp("relay") / "data") as running:
        yield running


@pytest.fixture
async def house(running: Running) -> AsyncIterator[House]:
    running.upstream.submits.clear()
    async with AsyncExitStack() as stack:
        yield await House(running, stack).open()


@pytest.fixture
def api(house: House) -> httpx.AsyncClient:
    return house.api


@pytest.fixture
async def separate(tmp_path: Path) -> AsyncIterator[House]:
    async with relay_in(tmp_path / "data") as running, AsyncExitStack() as stack:
        yield await House(running, stack).open()
