"""One attempt: prepare (format, sign), send, and say what came of it as a value.

Signed as Standard Webhooks says, over the very bytes that are sent, with the time of the attempt; while a secret and the key pair
rotate, by the old ones too.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct

from relay.delivery.formats import Formatter
from relay.delivery.hints import wait_asked_for
from relay.delivery.letterhead import OWN, Letterhead, Letterheads
from relay.delivery.outcome import Tried
from relay.errors import Unformattable
from relay.model import Attempt
from relay.net.fetch import FetchError, GuardedSession, Reply
from relay.net.guard import Policy
from relay.ports import Job
from relay.signing import webhook_signature
from relay.vault import SecretLost, Vault

ANSWER_BYTES: Final = 4096


class Prepared(Struct, frozen=True):
    """All that goes over the wire. `values`: of the headers that this attempt has of its own."""

    letterhead: Letterhead
    values: tuple[str, ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """All of them, but those that say how the request is framed."""
        return self.letterhead.headers | dict(zip(OWN, self.values, strict=True))


class Sender:
    """Makes attempts. `policy`: what the operator allows; a subscription's own `allow_cidrs` are added to it. `timeout`: seconds
    for a whole attempt."""

    def __init__(self, *, session: GuardedSession, formatter: Formatter, vault: Vault, policy: Policy,
                 clock: Callable[[], datetime], new_id: Callable[[str], str], timeout: float) -> None:
        self._session = session
        self._formatter = formatter
        self._letterheads = Letterheads(vault, policy)
        self._clock = clock
        self._new_id = new_id
        self._timeout = timeout

    async def send(self, job: Job) -> Tried:
        """Make the next attempt of a delivery. Whatever goes wrong on the way is told in it; only a fault of ours raises."""
        started_at, started = self._clock(), time.perf_counter()
        try:
            prepared = self.prepare(job, started_at)
            reply = await self._session.send(
                prepared.letterhead.recipient, prepared.values, prepared.body, timeout=self._timeout, max_answer_bytes=ANSWER_BYTES)
        except (FetchError, Unformattable, SecretLost) as exc:
            return Tried(attempt=self._attempt(job, started_at, started, None, exc.message))
        tried = Tried(attempt=self._attempt(job, started_at, started, reply, reply.error))
        if tried.is_success:  # nothing is to come for which somebody could ask us to wait
            return tried
        return Tried(attempt=tried.attempt, retry_after=wait_asked_for(job.subscription.format, reply, self._clock()))

    def broken(self, job: Job) -> Tried:
        """The attempt that a fault of ours cost this delivery."""
        return Tried(attempt=self._attempt(job, self._clock(), time.perf_counter(), None, "internal error"))

    def prepare(self, job: Job, now: datetime) -> Prepared:
        """Raises Unformattable, SecretLost; FetchError where the subscription's address or its headers cannot be used."""
        subscription, event_id = job.subscription, job.event.id
        message = self._formatter.format(subscription.format, job.event, task=job.task, template=subscription.template)
        letterhead = self._letterheads.letterhead(subscription, message.content_type, now)
        timestamp = int(now.timestamp())
        signature = webhook_signature(letterhead.keys, event_id, timestamp, message.body, private_keys=letterhead.private_keys)
        return Prepared(letterhead, (event_id, str(timestamp), signature, str(job.delivery.attempts + 1)), message.body)

    def _attempt(self, job: Job, started_at: datetime, started: float, reply: Reply | None, error: str | None) -> Attempt:
        return Attempt(
            id=self._new_id("att"), delivery_id=job.delivery.id, number=job.delivery.attempts + 1, started_at=started_at,
            duration_ms=round((time.perf_counter() - started) * 1000, 3), status_code=reply.status if reply else None, error=error,
            response_body=reply.body.decode("utf-8", "replace") if reply else None,
        )
