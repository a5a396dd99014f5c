"""One attempt: prepare (format, sign), send, and say what came of it as a value.

Signed as Standard Webhooks says, over the very bytes that are sent, with the time of the attempt; while a secret and the key pair
rotate, by the old ones too. Headers that the owner of the subscription added go along, but never in the place of ours.
"""

import functools
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from relay import __version__
from relay.delivery.formats import Formatter
from relay.delivery.hints import address_for, wait_asked_for
from relay.delivery.outcome import Tried
from relay.errors import Unformattable
from relay.model import Attempt, Subscription
from relay.net.fetch import FetchError, GuardedSession, Reply
from relay.net.guard import Policy, widen
from relay.ports import Job
from relay.signing import read_private_key, read_webhook_secret, webhook_signature
from relay.vault import SecretLost, Vault

ANSWER_BYTES: Final = 4096
_UNTOUCHABLE: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect",
                                 "keep-alive", "accept-encoding"})
_headers_decoder = msgspec.json.Decoder(dict[str, str])


class Prepared(Struct, frozen=True, kw_only=True):
    """All that goes over the wire."""

    url: str
    headers: dict[str, str]
    body: bytes
    policy: Policy


class Sender:
    """Makes attempts. `policy`: what the operator allows; a subscription's own `allow_cidrs` are added to it. `timeout`: seconds
    for a whole attempt."""

    def __init__(self, *, session: GuardedSession, formatter: Formatter, vault: Vault, policy: Policy,
                 clock: Callable[[], datetime], new_id: Callable[[str], str], timeout: float) -> None:
        self._session = session
        self._formatter = formatter
        self._policy = policy
        self._clock = clock
        self._new_id = new_id
        self._timeout = timeout
        self._open = functools.lru_cache(maxsize=1024)(vault.open)  # a subscriber's secret is opened for every attempt
        self._key = functools.lru_cache(maxsize=1024)(lambda sealed: read_webhook_secret(vault.open(sealed)))

    async def send(self, job: Job) -> Tried:
        """Make the next attempt of a delivery. Whatever goes wrong on the way is told in it; only a fault of ours raises."""
        started_at, started = self._clock(), time.perf_counter()
        try:
            prepared = self.prepare(job, started_at)
            reply = await self._session.post(
                prepared.url, headers=prepared.headers, body=prepared.body, timeout=self._timeout,
                max_answer_bytes=ANSWER_BYTES, policy=prepared.policy,
                owner=job.delivery.account_id)
        except (FetchError, Unformattable, SecretLost) as exc:
            return Tried(attempt=self._attempt(job, started_at, started, None, exc.message))
        return Tried(
            attempt=self._attempt(job, started_at, started, reply, reply.error),
            retry_after=wait_asked_for(job.subscription.format, reply, self._clock()),
        )

    def broken(self, job: Job) -> Tried:
        """The attempt that a fault of ours cost this delivery."""
        return Tried(attempt=self._attempt(job, self._clock(), time.perf_counter(), None, "internal error"))

    def prepare(self, job: Job, now: datetime) -> Prepared:
        """Raises Unformattable, SecretLost."""
        subscription = job.subscription
        message = self._formatter.format(subscription.format, job.event, task=job.task, template=subscription.template)
        timestamp = int(now.timestamp())
        headers = self._extra_headers(subscription) | {
            "content-type": message.content_type,
            "user-agent": f"relay/{__version__}",
            "webhook-id": job.event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signature(subscription, job.event.id, now, message.body),
            "webhook-attempt": str(job.delivery.attempts + 1),
        }
        if subscription.sealed_callback_secret:
            headers["x-webhook-secret"] = self._open(subscription.sealed_callback_secret)
        return Prepared(
            url=address_for(subscription.format, subscription.url), headers=headers, body=message.body,
            policy=widen(self._policy, subscription.allow_cidrs))

    def _signature(self, subscription: Subscription, event_id: str, now: datetime, body: bytes) -> str:
        """By every key that is in force, of the kinds that the subscription asks for."""
        one, until = subscription, subscription.previous_secret_until
        is_rotating = until is not None and now < until
        secrets = [one.sealed_secret, one.previous_sealed_secret if is_rotating else None]
        private_keys = [one.sealed_private_key, one.previous_sealed_private_key if is_rotating else None]
        return webhook_signature(
            [self._key(secret) for secret in secrets if secret and "v1" in one.signatures],
            event_id, int(now.timestamp()), body,
            private_keys=[read_private_key(self._open(key)) for key in private_keys if key and "v1a" in one.signatures])

    def _extra_headers(self, subscription: Subscription) -> dict[str, str]:
        """The owner's own headers, kept sealed as a JSON object; those that would change how the request is read are left out."""
        if not subscription.sealed_headers:
            return {}
        given = _headers_decoder.decode(self._open(subscription.sealed_headers))
        return {name.lower(): value for name, value in given.items() if name.lower() not in _UNTOUCHABLE}

    def _attempt(self, job: Job, started_at: datetime, started: float, reply: Reply | None, error: str | None) -> Attempt:
        return Attempt(
            id=self._new_id("att"), delivery_id=job.delivery.id, number=job.delivery.attempts + 1, started_at=started_at,
            duration_ms=round((time.perf_counter() - started) * 1000, 3), status_code=reply.status if reply else None, error=error,
            response_body=reply.body.decode("utf-8", "replace") if reply else None,
        )
