"""The libraries of Standard Webhooks and of Svix, for Python and for JavaScript, verify what Relay sends: every attempt of it, across the
rotation of a secret too."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks.webhooks
import svix.webhooks
from msgspec import Struct
from standardwebhooks.webhooks import WebhookVerificationError
from starlette.requests import Request
from starlette.responses import Response

from relay.signing import new_webhook_secret, read_webhook_secret, webhook_signature
from tests.clients.stage import FOLDER
from tests.e2e.harness import ADMIN_KEY, Api, Inbox, Process, free_port, serving

pytestmark = pytest.mark.anyio

VERIFIED = "verified"
BODY = '{"type":"task.succeeded","data":{"prompt":"日本語 \\u0000 é"}}'
LIBRARIES: dict[str, Callable[[str], Any]] = {"standardwebhooks": standardwebhooks.webhooks.Webhook, "svix": svix.webhooks.Webhook}
"""Of the same name in JavaScript."""


class Message(Struct):
    """What came, as a receiver sees it, and the secret it is to be verified with."""

    secret: str
    body: str
    headers: dict[str, str]


async def taken(messages: Sequence[Message]) -> dict[str, list[int]]:
    """Which of the messages each library takes, by their numbers."""
    verdicts = {f"{library} in Python": judged_by_python(library, messages) for library in LIBRARIES}
    verdicts |= {f"{library} in JavaScript": await judged_by_node(library, messages) for library in LIBRARIES}
    return {judge: [number for number, verdict in enumerate(given) if verdict == VERIFIED] for judge, given in verdicts.items()}


def by_all(numbers: Sequence[int]) -> dict[str, list[int]]:
    """Each library takes these."""
    return {f"{library} in {language}": list(numbers) for library in LIBRARIES for language in ("Python", "JavaScript")}


async def judged_by_node(library: str, messages: Sequence[Message]) -> list[str]:
    process = await asyncio.create_subprocess_exec("node", FOLDER / "verify.js", library, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    lines = [json.dumps({"secret": message.secret, "body": message.body, "headers": message.headers}) for message in messages]
    async with asyncio.timeout(30):
        out, err = await process.communicate("\n".join(lines).encode())
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


def judged_by_python(library: str, messages: Sequence[Message]) -> list[str]:
    return [_judged_by_python(library, message) for message in messages]


def _judged_by_python(library: str, message: Message) -> str:
    try:
        LIBRARIES[library](message.secret).verify(message.body, message.headers)
    except WebhookVerificationError as exc:  # Svix raises the one of Standard Webhooks
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
    assert await taken(messages) == by_all([0, 1])


class Scene:
    """A relay with the sandbox built in, and a subscriber that keeps what it gets, and answers 500 to the first `refusals` attempts."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.inbox = Inbox(self._answer)
        self.refusals = 0

    async def subscribe(self, url: str) -> None:
        subscription = await self.api.subscribe(url, retry_schedule=["0s", "1s", "1s"])
        self.id, self.secret = subscription["id"], subscription["secret"]

    async def _answer(self, request: Request) -> Response:
        return Response(status_code=500 if int(request.headers["webhook-attempt"]) <= self.refusals else 200)

    async def run(self, *providers: str) -> None:
        """A task to each, until all of their events have come, as often as they are refused and once more."""
        wanted = len(self.inbox.received) + (self.refusals + 1) * len(providers)
        for provider in providers:
            await self.api.submit(provider=provider, prompt="ein Leuchtturm im Nebel, 灯台 sandbox:slow=0.1")
        await self.inbox.holds(wanted)

    async def rotate(self) -> str:
        answer = await self.api.post(f"/api/v1/subscriptions/{self.id}/rotate-secret")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["secret"])

    def messages(self, secret: str) -> list[Message]:
        return [Message(secret=secret, body=body.decode(), headers=headers) for headers, body in self.inbox.received]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    port = free_port()
    env = {"RELAY_DATA_DIR": str(tmp_path / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY}
    relay = await Process("serve", "--sandbox", "--port", str(port), port=port, env=env, log=tmp_path / "relay.log").start()
    async with Api(relay.url) as api:
        scene = Scene(api)
        async with serving(scene.inbox.app()) as url:
            await scene.subscribe(url + "/hook")
            yield scene
    assert await relay.stop() == 0


async def test_every_event_verifies_and_after_a_rotation_with_both_secrets(scene: Scene) -> None:
    await scene.run("serevix", "apiframe", "segmind", "kie", "yescale")
    new = await scene.rotate()
    await scene.run("yescale", "segmind")
    old_ones = scene.messages(scene.secret)
    assert new != scene.secret
    assert len(old_ones) == 7
    assert await taken(old_ones) == by_all(range(7))
    assert await taken(scene.messages(new)) == by_all([5, 6])


async def test_every_attempt_verifies_with_both_secrets_that_sign_it(scene: Scene) -> None:
    scene.refusals = 2
    secrets = [scene.secret, await scene.rotate()]
    await scene.run("yescale")
    received = [headers for headers, _ in scene.inbox.received]
    assert [headers["webhook-attempt"] for headers in received] == ["1", "2", "3"]
    assert len({headers["webhook-id"] for headers in received}) == 1
    assert [len(headers["webhook-signature"].split()) for headers in received] == [2, 2, 2]
    for secret in secrets:
        assert await taken(scene.messages(secret)) == by_all([0, 1, 2])
