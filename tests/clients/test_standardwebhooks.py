"""The libraries of Standard Webhooks, for Python and for JavaScript, verify what Relay sends, across the rotation of a secret too."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from relay.signing import new_webhook_secret, read_webhook_secret, webhook_signature
from tests.clients.stage import FOLDER
from tests.e2e.harness import ADMIN_KEY, Api, Inbox, Process, free_port, serving

pytestmark = pytest.mark.anyio

VERIFIED = "verified"
BODY = '{"type":"task.succeeded","data":{"prompt":"日本語 \\u0000 é"}}'


class Message(Struct):
    """What came, as a receiver sees it, and the secret it is to be verified with."""

    secret: str
    body: str
    headers: dict[str, str]


async def judged_by_node(messages: Sequence[Message]) -> list[str]:
    """What the JavaScript library says of each."""
    process = await asyncio.create_subprocess_exec(
        "node", FOLDER / "verify.js", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    lines = [json.dumps({"secret": message.secret, "body": message.body, "headers": message.headers}) for message in messages]
    async with asyncio.timeout(30):
        out, err = await process.communicate("\n".join(lines).encode())
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


def judged_by_python(messages: Sequence[Message]) -> list[str]:
    """What the Python library says of each."""
    return [_judged_by_python(message) for message in messages]


def _judged_by_python(message: Message) -> str:
    try:
        Webhook(message.secret).verify(message.body, message.headers)
    except WebhookVerificationError as exc:
        return str(exc)
    return VERIFIED


def signed(*secrets: str, body: str = BODY) -> dict[str, str]:
    """The headers of a message that is signed now."""
    timestamp = int(datetime.now(UTC).timestamp())
    keys = [read_webhook_secret(secret) for secret in secrets]
    return {"webhook-id": "evt_1", "webhook-timestamp": str(timestamp),
            "webhook-signature": webhook_signature(keys, "evt_1", timestamp, body.encode())}


async def test_a_signature_is_good_for_each_secret_in_force_and_no_other() -> None:
    old, new, foreign = new_webhook_secret(), new_webhook_secret(), new_webhook_secret()
    headers = signed(new, old)
    messages = [Message(secret=secret, body=BODY, headers=headers) for secret in (old, new, foreign)]
    messages.append(Message(secret=new, body=BODY + " ", headers=headers))
    messages.append(Message(secret=new, body=BODY, headers={**headers, "webhook-id": "evt_2"}))
    for verdicts in (judged_by_python(messages), await judged_by_node(messages)):
        assert [verdict == VERIFIED for verdict in verdicts] == [True, True, False, False, False]


class Scene:
    """A relay with the sandbox built in, and a subscriber that keeps what it gets."""

    def __init__(self, api: Api, inbox: Inbox, subscription: dict[str, str]) -> None:
        self.api = api
        self.inbox = inbox
        self.id = subscription["id"]
        self.secret = subscription["secret"]

    async def run(self, *providers: str) -> None:
        """A task to each, until all of their events have come."""
        wanted = len(self.inbox.received) + len(providers)
        for provider in providers:
            await self.api.submit(provider=provider, prompt="ein Leuchtturm im Nebel, 灯台 sandbox:slow=0.1")
        await self.inbox.holds(wanted)

    async def rotate(self) -> str:
        answer = await self.api.post(f"/api/v1/subscriptions/{self.id}/rotate-secret")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["secret"])

    def messages(self, secret: str, first: int = 0) -> list[Message]:
        return [Message(secret=secret, body=body.decode(), headers=headers) for headers, body in self.inbox.received[first:]]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    port, inbox = free_port(), Inbox()
    env = {"RELAY_DATA_DIR": str(tmp_path / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY}
    relay = await Process("serve", "--sandbox", "--port", str(port), port=port, env=env, log=tmp_path / "relay.log").start()
    async with serving(inbox.app()) as url, Api(relay.url) as api:
        yield Scene(api, inbox, await api.subscribe(url + "/hook"))
    assert await relay.stop() == 0


async def test_every_event_verifies_and_after_a_rotation_with_both_secrets(scene: Scene) -> None:
    await scene.run("serevix", "apiframe", "segmind", "kie", "yescale")
    new = await scene.rotate()
    await scene.run("yescale", "segmind")
    old_ones, newer = scene.messages(scene.secret), scene.messages(new, first=5)
    assert new != scene.secret
    assert (len(old_ones), len(newer)) == (7, 2)
    for messages in (old_ones, newer):
        assert judged_by_python(messages) == [VERIFIED] * len(messages)
        assert await judged_by_node(messages) == [VERIFIED] * len(messages)
    before = scene.messages(new)[:5]
    assert VERIFIED not in judged_by_python(before) + await judged_by_node(before)
