"""How deliveries are signed: `v1` with the secret that both know, `v1a` with a key pair whose private half never leaves."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from relay import model
from relay.signing import new_private_key, public_key_of
from relay.web.fields import refuse
from relay.web.parts import Web

Signatures = Annotated[
    list[Literal["v1", "v1a"]],
    Meta(min_length=1, max_length=2, description="v1: HMAC-SHA256 with the secret. v1a: ed25519, verified with `public_key`.",
         extra_json_schema={"uniqueItems": True})]


def checked_signatures(signatures: Sequence[str]) -> tuple[str, ...]:
    """Raises Invalid."""
    if len(set(signatures)) != len(signatures):
        raise refuse("signatures", "names one of them twice")
    return tuple(signatures)


def with_key_pair(subscription: model.Subscription, web: Web) -> model.Subscription:
    """The subscription with a key pair if it needs one and has none. It keeps it when it needs it no more, so that `v1a` comes back as
    it was."""
    if "v1a" not in subscription.signatures or subscription.sealed_private_key:
        return subscription
    return msgspec.structs.replace(subscription, **_new_key_pair(web))


def rotated_key_pair(subscription: model.Subscription, web: Web) -> dict[str, Any]:
    """The fields that change with a new key pair; the one that goes signs on beside it as long as the old secret does."""
    if not subscription.sealed_private_key:
        return {}
    return {**_new_key_pair(web), "previous_sealed_private_key": subscription.sealed_private_key}


def _new_key_pair(web: Web) -> dict[str, Any]:
    private_key = new_private_key()
    return {"public_key": public_key_of(private_key), "sealed_private_key": web.vault.seal(private_key)}
