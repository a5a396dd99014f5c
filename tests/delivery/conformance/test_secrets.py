"""Secrets: sealed at rest, changed with an overlap, shown to few; and signatures that anyone may verify."""

import asyncio
import base64
import logging
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError

from relay.signing import new_webhook_secret
from tests.delivery.made import SECRET, VAULT, now
from tests.delivery.office import Office
from tests.delivery.receiver import Receiver
from tests.e2e.harness import Api
from tests.web.conftest import House, problem, read_json, relay_in
from tests.web.subscribing import PATH, act, subscribe, tokens, verified, verifies

pytestmark = pytest.mark.anyio

OLD, NEW = "o" * 40, "n" * 40
EVERYTHING: dict[str, Any] = {
    "signatures": ["v1", "v1a"], "headers": {"X-Team": "hush-team"}, "callback_secret": "hush-callback"}


def on_the_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("relay.db*")))


async def test_secrets_are_encrypted_at_rest(api: httpx.AsyncClient, folder: Path) -> None:
    made = await subscribe(api, **EVERYTHING)
    rotated = await act(api, made, "rotate-secret")
    written = on_the_disk(folder)

    assert made["id"].encode() in written
    for secret in (made["secret"], rotated["secret"]):
        bare = secret.removeprefix("whsec_")
        assert bare.encode() not in written
        assert base64.b64decode(bare) not in written
    assert b"hush-" not in written


async def test_a_rotation_of_relay_secret_keys_encrypts_them_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After one start with both keys the older one is not needed."""
    caplog.set_level(logging.INFO, "relay.delivery.resealing")
    async with Receiver() as receiver:
        async with relay_in(tmp_path, RELAY_SECRET_KEYS=OLD) as running, Api(running.url) as api:
            made = await subscribe(api, url=receiver.url, **EVERYTHING)
            made |= await act(api, made, "rotate-secret")
        async with relay_in(tmp_path, RELAY_SECRET_KEYS=f"{NEW},{OLD}"), asyncio.timeout(10):
            while not any("sealed anew" in message for message in caplog.messages):
                await asyncio.sleep(0.01)
        async with relay_in(tmp_path, RELAY_SECRET_KEYS=NEW) as running, Api(running.url) as api:
            assert read_json(await api.get(f"{PATH}/{made['id']}/secret"), 200)["secret"] == made["secret"]
            await act(api, made, "test", status=202)
            [request] = await receiver.wait_for_requests(1)

    assert verified(receiver, made["secret"])["type"] == "ping"
    assert (request.headers["x-team"], request.headers["x-webhook-secret"]) == ("hush-team", "hush-callback")
    assert [version for version, _ in tokens(request)] == ["v1", "v1", "v1a", "v1a"]


async def test_after_a_rotation_the_old_secret_and_the_old_key_pair_sign_too(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        made = await subscribe(api, url=receiver.url, signatures=["v1", "v1a"])
        rotated = await act(api, made, "rotate-secret")
        await act(api, made, "test", status=202)
        [request] = await receiver.wait_for_requests(1)

    assert rotated["secret"] != made["secret"]
    assert verified(receiver, made["secret"]) == verified(receiver, rotated["secret"])
    assert verifies(request, made["public_key"])
    assert verifies(request, rotated["public_key"])


async def test_the_overlap_lasts_for_24_hours(api: httpx.AsyncClient, folder: Path) -> None:
    made = await subscribe(api)
    before = now()
    await act(api, made, "rotate-secret")
    with sqlite3.connect(f"file:{folder / 'relay.db'}?mode=ro", uri=True) as file:
        [(until,)] = file.execute("SELECT previous_secret_until FROM subscriptions WHERE id = ?", [made["id"]])
    file.close()

    overlap = datetime.fromtimestamp(until / 1e6, UTC) - before
    assert timedelta(hours=24) <= overlap <= timedelta(hours=24, minutes=1)


@pytest.mark.parametrize(("left", "signs"), [(timedelta(minutes=1), True), (timedelta(0), False)])
async def test_when_the_overlap_is_over_the_old_secret_signs_no_more(office: Office, left: timedelta, *, signs: bool) -> None:
    old = new_webhook_secret()
    async with Receiver() as receiver:
        await office.ping(await office.subscribe(
            receiver.url, previous_sealed_secret=VAULT.seal(old), previous_secret_until=now() + left))
        async with office.at_work():
            await receiver.wait_for_requests(1)

    assert verified(receiver, SECRET)["type"] == "ping"
    if signs:
        assert verified(receiver, old)["type"] == "ping"
    else:
        with pytest.raises(WebhookVerificationError):
            verified(receiver, old)


async def test_revealing_a_secret_needs_the_scope_subscribe_and_is_logged(
        house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relay.web")
    made = await subscribe(house.api)
    reader, writer = await house.with_key("read", "submit"), await house.with_key("subscribe")
    me: dict[str, Any] = (await writer.get("/api/v1/me")).json()

    problem(await reader.get(f"{PATH}/{made['id']}/secret"), 403, "forbidden")
    assert [message for message in caplog.messages if "was shown" in message] == []
    assert (await writer.get(f"{PATH}/{made['id']}/secret")).json()["secret"] == made["secret"]

    assert [message for message in caplog.messages if "was shown" in message] == [f"the secret of {made['id']} was shown to {me['key_id']}"]
    assert made["secret"] not in caplog.text


async def test_v1a_signatures_are_made_where_a_subscription_asks_for_them(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        made = await subscribe(api, url=receiver.url, signatures=["v1", "v1a"])
        await act(api, made, "test", status=202)
        [request] = await receiver.wait_for_requests(1)

        assert made["public_key"].startswith("whpk_")
        assert [version for version, _ in tokens(request)] == ["v1", "v1a"]
        assert verifies(request, made["public_key"])
        assert verified(receiver, made["secret"])["type"] == "ping"


async def test_the_public_key_is_readable_and_the_private_one_for_nobody(house: House) -> None:
    made = await subscribe(house.api, signatures=["v1a"])
    reader, writer = await house.with_key("read"), await house.with_key("subscribe")

    shown = await reader.get(f"{PATH}/{made['id']}")
    secret = await writer.get(f"{PATH}/{made['id']}/secret")

    assert shown.json()["public_key"] == secret.json()["public_key"] == made["public_key"]
    for answer in (shown, secret):
        assert "whsk_" not in answer.text
        assert "private" not in answer.text
