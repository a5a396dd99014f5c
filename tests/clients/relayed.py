"""A real Relay with the sandbox built in, and real clients whose base URL and key are those of its drop-ins."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct

from tests.clients.scissors import Scissors, open_scissors
from tests.clients.stage import FOLDER
from tests.e2e.harness import ADMIN_KEY, Api, Inbox, Process, free_port, serving
from tests.providers.sandboxed import QUICK

PROGRAMS = {".js": ("node", "-e"), ".sh": ("sh", "-c")}


def new_prompt(words: str = "a lighthouse") -> str:
    """One that nobody else has: the sandbox counts by prompt. Its picture is made at once, unless the words say how slowly."""
    return f"{words} {uuid4().hex}" if "slow" in words else f"{words} {QUICK} {uuid4().hex}"


class Relayed(Struct):
    """A running Relay: its API, a receiver of callbacks at `hook`, and a line to it that can be cut."""

    url: str
    api: Api
    inbox: Inbox
    hook: str
    scissors: Scissors

    def base(self, provider: str, *, cuttable: bool = False) -> str:
        """What an app puts in place of its provider's address."""
        return f"{self.scissors.url if cuttable else self.url}/dropin/{provider}"

    async def run(self, script: str, provider: str, *, instead: Mapping[str, str] | None = None, key: str = ADMIN_KEY,
                  cuttable: bool = False) -> subprocess.CompletedProcess[str]:
        """A sample of a provider's document, with host and key changed, at its end. `instead`: other words of it that are replaced."""
        text = (FOLDER / script).read_text()
        for old, new in (instead or {}).items():
            assert old in text
            text = text.replace(old, new)
        env = {"PATH": os.environ["PATH"], "HOST": self.base(provider, cuttable=cuttable), "KEY": key}
        process = await asyncio.create_subprocess_exec(
            *PROGRAMS[Path(script).suffix], text, env=env, cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        return subprocess.CompletedProcess(script, process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))

    async def bill(self, provider: str, prompt: str) -> tuple[int, int]:
        """How many submissions with this prompt reached the provider, and how many pictures were billed."""
        tally = (await self.api.get("/ledger", params={"prompt": prompt})).json()[provider]
        return tally["received"], tally["billed"]

    async def tasks(self, prompt: str) -> list[dict[str, Any]]:
        """The tasks of a prompt among the latest ones, the oldest first."""
        listed = (await self.api.get("/api/v1/tasks", params={"limit": "200"})).json()["data"]
        return [task for task in reversed(listed) if task["prompt"] == prompt]

    async def task(self, prompt: str) -> dict[str, Any]:
        """The only task of a prompt, at its end, as soon as there is one."""
        await self.has_task(prompt)
        (task,) = await self.tasks(prompt)
        return await self.api.ended(task["id"])

    async def has_task(self, prompt: str) -> None:
        """Until there is a task of this prompt."""
        async with asyncio.timeout(30):
            while not await self.tasks(prompt):
                await asyncio.sleep(0.02)

    async def signing_secret(self, task_id: str) -> str:
        """What signs the callbacks of a task's own `webhook_url`."""
        (own,) = (await self.api.get("/api/v1/subscriptions", params={"task_id": task_id})).json()["data"]
        return str((await self.api.get(f"/api/v1/subscriptions/{own['id']}/secret")).json()["secret"])

    async def key_of_another(self, name: str) -> str:
        """A key of another account, which may do everything there but rule."""
        await self.api.post("/api/v1/accounts", json={"name": name})
        answer = await self.api.post("/api/v1/keys", json={"name": name, "scopes": ["submit", "read"], "account": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    async def told(self, word: str, count: int = 1) -> list[tuple[dict[str, str], bytes]]:
        """The callbacks whose body holds a word, as soon as there are that many."""
        while len(found := [one for one in self.inbox.received if word.encode() in one[1]]) < count:
            await self.inbox.holds(len(self.inbox.received) + 1)
        return found


@asynccontextmanager
async def open_relay(folder: Path, **env: str) -> AsyncIterator[Relayed]:
    """`env`: what is different in its environment."""
    port, inbox = free_port(), Inbox()
    settings = {"RELAY_DATA_DIR": str(folder / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY, **env}
    relay = await Process("serve", "--sandbox", "--port", str(port), port=port, env=settings, log=folder / "relay.log").start()
    async with AsyncExitStack() as stack:
        hook = await stack.enter_async_context(serving(inbox.app()))
        api = await stack.enter_async_context(Api(relay.url))
        scissors = await stack.enter_async_context(open_scissors(port))
        try:
            yield Relayed(url=relay.url, api=api, inbox=inbox, hook=hook, scissors=scissors)
        finally:
            code = await relay.stop()
    assert code == 0
