"""What tests of subscriptions, events and deliveries do again and again."""

import asyncio
import base64
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from tests.delivery.receiver import Received, Receiver
from tests.web.conftest import House, read_json

URL = "https://example.com/hooks/relay"
PATH = "/api/v1/subscriptions"


async def subscribe(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A new subscription, as the answer shows it."""
    return read_json(await api.post(PATH, json={"url": URL, **fields}), 201)


async def act(api: httpx.AsyncClient, subscription: dict[str, Any], action: str, body: dict[str, Any] | None = None,
              status: int = 200) -> dict[str, Any]:
    """The answer to `…/{id}/{action}`."""
    return read_json(await api.post(f"{PATH}/{subscription['id']}/{action}", json=body), status)


async def trigger(api: httpx.AsyncClient, kind: str = "task.succeeded") -> dict[str, Any]:
    """An event that was told, and its deliveries."""
    return read_json(await api.post("/api/v1/events", json={"type": kind}), 202)


async def look_at(api: httpx.AsyncClient, delivery: dict[str, Any]) -> dict[str, Any]:
    return read_json(await api.get(f"/api/v1/deliveries/{delivery['id']}"), 200)


async def settled(api: httpx.AsyncClient, delivery: dict[str, Any], attempts: int = 1) -> dict[str, Any]:
    """The delivery once so many attempts at it are recorded. The receiver has the request a moment before we have its answer."""
    async with asyncio.timeout(10):
        while (found := await look_at(api, delivery))["attempts"] < attempts:
            pass
        return found


async def succeeded(house: House, **fields: Any) -> dict[str, Any]:
    """A task that ended well."""
    task = await house.accepted(**fields)
    await house.call_back(task)
    return await house.see(task, wait=20)


def verified(receiver: Receiver, secret: str, index: int = -1) -> dict[str, Any]:
    """What a receiver got, as the public library lets it through. Raises what that raises."""
    request = receiver.requests[index]
    return dict(Webhook(secret).verify(request.body, request.headers))


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
