"""What is the same in every attempt at a subscription: opened, checked and written out once, for as long as that stays as it is.

Headers that the owner of the subscription added go along, but never in the place of ours, nor where they would change how the request
is read.
"""

import functools
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from relay import __version__
from relay.delivery.hints import address_for
from relay.model import Subscription
from relay.net.fetch import recipient_at
from relay.net.guard import Policy, widen
from relay.net.request import Recipient
from relay.signing import read_private_key, read_webhook_secret
from relay.vault import Vault

OWN: Final = ("webhook-id", "webhook-timestamp", "webhook-signature", "webhook-attempt")
"""The headers that each attempt has of its own, in this order."""
_UNTOUCHABLE: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect",
                                 "keep-alive", "accept-encoding", *OWN})
_MOST_KEPT: Final = 1024
_headers_decoder = msgspec.json.Decoder(dict[str, str])


class Letterhead(Struct, frozen=True, kw_only=True, eq=False):
    """Of one subscription. `keys` and `private_keys` sign. `until`: when the older ones among them do so no more."""

    subscription: Subscription
    content_type: str
    headers: dict[str, str]
    recipient: Recipient
    keys: list[bytes]
    private_keys: list[bytes]
    until: datetime | None

    def fits(self, subscription: Subscription, content_type: str, now: datetime) -> bool:
        """Whether it is still right."""
        return (subscription == self.subscription and content_type == self.content_type
                and (self.until is None or now < self.until))


class Letterheads:
    """Those used last. `policy`: what the operator allows; a subscription's own `allow_cidrs` are added to it."""

    def __init__(self, vault: Vault, policy: Policy) -> None:
        self._policy = policy
        self._kept: dict[str, Letterhead] = {}
        self._open = functools.lru_cache(maxsize=1024)(vault.open)

    def letterhead(self, subscription: Subscription, content_type: str, now: datetime) -> Letterhead:
        """Raises SecretLost; FetchError where the subscription's address or its headers cannot be used."""
        kept = self._kept.get(subscription.id)
        if kept is not None and kept.fits(subscription, content_type, now):
            return kept
        made = self._made(subscription, content_type, now)
        self._kept.pop(subscription.id, None)
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[subscription.id] = made
        return made

    def _made(self, subscription: Subscription, content_type: str, now: datetime) -> Letterhead:
        one, until = subscription, subscription.previous_secret_until
        is_rotating = until is not None and now < until
        headers = self._headers(one, content_type)
        secrets = [one.sealed_secret, one.previous_sealed_secret if is_rotating else None]
        private_keys = [one.sealed_private_key, one.previous_sealed_private_key if is_rotating else None]
        return Letterhead(
            subscription=one, content_type=content_type, headers=headers, until=until if is_rotating else None,
            keys=[read_webhook_secret(self._open(secret)) for secret in secrets if secret and "v1" in one.signatures],
            private_keys=[read_private_key(self._open(key)) for key in private_keys if key and "v1a" in one.signatures],
            recipient=recipient_at(
                address_for(one.format, one.url), headers=headers, own=OWN, policy=widen(self._policy, one.allow_cidrs),
                owner=one.account_id))

    def _headers(self, subscription: Subscription, content_type: str) -> dict[str, str]:
        headers = self._of_the_owner(subscription) | {"content-type": content_type, "user-agent": f"relay/{__version__}"}
        if subscription.sealed_callback_secret:
            headers["x-webhook-secret"] = self._open(subscription.sealed_callback_secret)
        return headers

    def _of_the_owner(self, subscription: Subscription) -> dict[str, str]:
        """Kept sealed as a JSON object."""
        if not subscription.sealed_headers:
            return {}
        given = _headers_decoder.decode(self._open(subscription.sealed_headers))
        return {name.lower(): value for name, value in given.items() if name.lower() not in _UNTOUCHABLE}
