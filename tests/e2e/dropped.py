"""A relay that apps ask in their providers' words, the stand-ins that make its pictures, and what those billed: each a process of its own,
so that the bill outlives the relay."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.harness import ADMIN_KEY, Api, Process, free_port


class Stand:
    """`process` is the relay, which can be killed and started again; `api` is Relay's own, as its admin."""

    def __init__(self, process: Process, api: Api, sandbox: httpx.AsyncClient) -> None:
        self.process = process
        self.api = api
        self.key = ADMIN_KEY
        self._sandbox = sandbox

    @property
    def url(self) -> str:
        return self.process.url

    def base_url(self, dropin: str) -> str:
        """What an app puts in the place of its provider's base URL."""
        return f"{self.url}/dropin/{dropin}"

    async def ledger(self, prompt: str | None = None) -> dict[str, Any]:
        """Of one prompt, or of all: by provider how many submissions were received, accepted, billed."""
        answer = await self._sandbox.get("/ledger", params={"prompt": prompt} if prompt else None)
        return dict(answer.json())

    async def received(self, prompt: str) -> int:
        return sum(bill["received"] for bill in (await self.ledger(prompt)).values())

    async def billed(self, prompt: str) -> int:
        return sum(bill["billed"] for bill in (await self.ledger(prompt)).values())

    async def tasks(self, **query: str) -> list[dict[str, Any]]:
        answer = await self.api.get("/api/v1/tasks", params={"limit": "200", **query})
        return list(answer.json()["data"])

    async def new_key(self, *scopes: str, **wish: Any) -> str:
        answer = await self.api.post("/api/v1/keys", json={"name": "an app", "scopes": scopes or ("submit", "read"), **wish})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    def log(self) -> str:
        """All that the relay has written so far."""
        return self.process.log.read_text()

    def app(self, dropin: str, key: str | None = None) -> httpx.AsyncClient:
        """An app that sends its key as most do."""
        return httpx.AsyncClient(base_url=self.base_url(dropin), headers={"authorization": f"Bearer {key or self.key}"}, timeout=70)


@asynccontextmanager
async def open_stand(folder: Path, **env: str) -> AsyncIterator[Stand]:
    """Both on ports of their own, their data in `folder`. `env`: of the relay."""
    sandbox_port, port = free_port(), free_port()
    sandbox = Process("sandbox", "--port", str(sandbox_port), port=sandbox_port, env={}, log=folder / "sandbox.log", ready="/ledger")
    own = {"RELAY_DATA_DIR": str(folder / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_PORT": str(port), "RELAY_SHUTDOWN_GRACE": "2s",
           "RELAY_PUBLIC_URL": f"http://127.0.0.1:{port}", "RELAY_ALLOW_CIDRS": "127.0.0.0/8", **_providers(sandbox.url)}
    relay = Process("serve", port=port, env=own | env, log=folder / "relay.log")
    async with AsyncExitStack() as stack:
        for process in (sandbox, relay):
            stack.push_async_callback((await process.start()).kill)
        yield Stand(relay, await stack.enter_async_context(Api(relay.url)),
                    await stack.enter_async_context(httpx.AsyncClient(base_url=sandbox.url)))


def _providers(sandbox_url: str) -> dict[str, str]:
    return {f"RELAY_{name.upper()}_{field}": value for name in ("serevix", "apiframe", "segmind", "kie", "yescale")
            for field, value in (("API_KEY", "sandbox-key"), ("BASE_URL", f"{sandbox_url}/{name}"))}
