"""Signatures `v1a` and their key pairs, and who may see a secret."""

import base64
import logging
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.delivery.receiver import Received, Receiver
from tests.web.conftest import House, problem, read_json
from tests.web.subscribing import PATH, act, subscribe, verified

pytestmark = pytest.mark.anyio


def tokens(request: Received) -> list[tuple[str, str]]:
    """Version and signature of each."""
    return [(version, signature) for version, _, signature in
            (token.partition(",") for token in request.headers["webhook-signature"].split(" "))]


def verifies(request: Received, public_key: str) -> bool:
    """Whether one of the signatures `v1a` is of this key."""
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_"), validate=True))
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    return any(_is_signature(verifier, base64.b64decode(signature), content) for version, signature in tokens(request) if version == "v1a")


def _is_signature(verifier: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        verifier.verify(signature, content)
    except InvalidSignature:
        return False
    return True


async def test_a_subscription_without_v1a_has_no_public_key(api: httpx.AsyncClient) -> None:
    made = await subscribe(api)

    assert (made["signatures"], made["public_key"]) == (["v1"], None)


async def test_both_kinds_of_signature_go_along_and_verify(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        made = await subscribe(api, url=receiver.url, signatures=["v1", "v1a"])
        await act(api, made, "test", status=202)
        [request] = await receiver.wait_for_requests(1)

        assert made["public_key"].startswith("whpk_")
        assert [version for version, _ in tokens(request)] == ["v1", "v1a"]
        assert verifies(request, made["public_key"])
        assert verified(receiver, made["secret"])["type"] == "ping"


async def test_v1a_alone_is_signed_with_the_key_pair_alone(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        made = await subscribe(api, url=receiver.url, signatures=["v1a"])
        other = await subscribe(api, url=f"{receiver.url}/other", signatures=["v1a"])
        await act(api, made, "test", status=202)
        [request] = await receiver.wait_for_requests(1)

        assert [version for version, _ in tokens(request)] == ["v1a"]
        assert verifies(request, made["public_key"])
        assert not verifies(request, other["public_key"])


async def test_the_public_key_is_for_readers_and_the_private_one_for_nobody(house: House) -> None:
    made = await subscribe(house.api, signatures=["v1a"])
    reader, writer = await house.with_key("read"), await house.with_key("subscribe")

    shown = await reader.get(f"{PATH}/{made['id']}")
    secret = await writer.get(f"{PATH}/{made['id']}/secret")

    assert shown.json()["public_key"] == secret.json()["public_key"] == made["public_key"]
    for answer in (shown, secret):
        assert "whsk_" not in answer.text
        assert "private" not in answer.text


async def test_a_key_pair_comes_with_the_wish_for_it_and_comes_back_as_it_was(api: httpx.AsyncClient) -> None:
    made = await subscribe(api)
    one = f"{PATH}/{made['id']}"

    asked = read_json(await api.patch(one, json={"signatures": ["v1", "v1a"]}), 200)
    dropped = read_json(await api.patch(one, json={"signatures": ["v1"]}), 200)
    again = read_json(await api.patch(one, json={"signatures": ["v1a"]}), 200)

    assert asked["public_key"]
    assert dropped["public_key"] == again["public_key"] == asked["public_key"]


async def test_a_rotation_changes_the_key_pair_too_and_the_old_one_signs_beside_it(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        made = await subscribe(api, url=receiver.url, signatures=["v1", "v1a"])

        rotated = await act(api, made, "rotate-secret")
        await act(api, made, "test", status=202)
        [request] = await receiver.wait_for_requests(1)

        assert rotated["public_key"] != made["public_key"]
        assert [version for version, _ in tokens(request)] == ["v1", "v1", "v1a", "v1a"]
        assert verifies(request, made["public_key"])
        assert verifies(request, rotated["public_key"])
        assert verified(receiver, made["secret"]) == verified(receiver, rotated["secret"])


async def test_rotating_to_the_secret_in_force_leaves_the_key_pair(api: httpx.AsyncClient) -> None:
    made = await subscribe(api, signatures=["v1a"])

    rotated = await act(api, made, "rotate-secret", {"secret": made["secret"]})

    assert rotated["public_key"] == made["public_key"]


async def test_a_secret_is_shown_to_the_scope_subscribe_only_and_that_is_logged(
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
