"""What an app was given before Relay died is good after it: a link to poll, an id to fetch, a callback that was asked for."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.clients.bfl import Poller
from tests.e2e.dropped import open_stand
from tests.e2e.harness import Inbox, serving

pytestmark = pytest.mark.anyio


async def test_a_polling_url_and_an_id_outlive_a_kill(tmp_path: Path) -> None:
    """APIFRAME's stand-in may call back in vain meanwhile, and does it once: then Relay asks."""
    inbox, prompts = Inbox(), [f"sandbox:slow=2 {uuid4().hex}" for _ in range(2)]
    quick = {"RELAY_RECONCILE_AFTER": "1s"}
    async with serving(inbox.app()) as hook, open_stand(tmp_path, **quick) as stand, stand.app("apiframe") as app:
        webhook = {"webhook_url": f"{hook}/app", "webhook_secret": "s3cret"}
        poller = Poller(stand.base_url("serevix") + "/flux/v1", {"x-key": stand.key})
        polled = await poller.submit("flux-pro-1.1", prompt=prompts[0], **webhook)
        fetched = (await app.post("/flux-imagine", json={"prompt": prompts[1], "model": "flux-pro", **webhook})).json()
        await stand.process.kill()
        await stand.process.start()
        assert (await poller.follow(polled))["result"]["prompt"] == prompts[0]
        async with asyncio.timeout(30):
            while (told := (await app.post("/fetch", json=fetched)).json())["status"] == "processing":
                await asyncio.sleep(0.1)
        assert (told["task_id"], told["status"]) == (fetched["task_id"], "finished")
        await inbox.holds(2)
        heard = {body.get("id") or body["task_id"]: body["status"] for body in map(json.loads, (body for _, body in inbox.received))}
        assert heard == {polled["id"]: "Ready", fetched["task_id"]: "finished"}
        assert {headers["x-webhook-secret"] for headers, _ in inbox.received} == {"s3cret"}
        assert [await stand.billed(prompt) for prompt in prompts] == [1, 1]
