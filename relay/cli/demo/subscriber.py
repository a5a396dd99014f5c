"""The demo's subscriber: a small HTTP server that verifies what it gets as any receiver would, with the public library."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from relay.cli.demo.judge import Receipt

_Message = dict[str, Any]
_OK: Final = 204
_REFUSED: Final = 400


class Subscriber:
    """An ASGI application. `receipts` grows; `arrived` is set with each. Nothing verifies before `trust` was called."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.arrived = asyncio.Event()
        self._started = time.monotonic()
        self._webhook: Webhook | None = None

    def trust(self, secret: str) -> None:
        """Verify with this `whsec_` secret from now on; times count from now."""
        self._webhook = Webhook(secret)
        self._started = time.monotonic()

    async def __call__(self, scope: _Message, receive: Callable[[], Awaitable[_Message]],
                       send: Callable[[_Message], Awaitable[None]]) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        receipt = self._read({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}, body)
        self.receipts.append(receipt)
        self.arrived.set()
        await send({"type": "http.response.start", "status": _OK if receipt.event else _REFUSED, "headers": []})
        await send({"type": "http.response.body"})

    def _read(self, headers: dict[str, str], body: bytes) -> Receipt:
        at = time.monotonic() - self._started
        if self._webhook is None:
            return Receipt(at, None, "a request came before anything was subscribed")
        try:
            event = self._webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError) as exc:
            return Receipt(at, None, f"a request does not verify: {exc}")
        if not isinstance(event, dict) or event.get("id") != headers.get("webhook-id"):
            return Receipt(at, None, "the body of an event is not what its headers say")
        return Receipt(at, event)
