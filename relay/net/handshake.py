"""The handshake of X-Hook-Secret (as Asana does it): whoever is to hear says that it wants to.

One POST whose body is an empty JSON object and whose header `X-Hook-Secret` holds a fresh random string. The receiver answers 2xx with
the same header. The string is used for nothing else.
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from relay import __version__
from relay.net.fetch import FetchError, GuardedSession, Reply
from relay.net.guard import Policy

HEADER: Final = "x-hook-secret"
_SECONDS: Final = 10.0


class Handshake:
    """Asks receivers. `timeout`: seconds for all of it."""

    def __init__(self, session: GuardedSession, *, timeout: float = _SECONDS) -> None:
        self._session = session
        self._timeout = timeout

    async def __call__(self, url: str, headers: Mapping[str, str], policy: Policy) -> str | None:
        """Ask the receiver at `url`; `headers` are its owner's. What went wrong, in words, or None if it agreed."""
        secret = secrets.token_urlsafe(32)
        ours = {"content-type": "application/json", "user-agent": f"relay/{__version__}", HEADER: secret}
        given = {name.lower(): value for name, value in headers.items()}
        try:
            reply = await self._session.post(
                url, headers=given | ours, body=b"{}", timeout=self._timeout, max_answer_bytes=0, policy=policy)
        except FetchError as exc:
            return exc.message
        return _problem(reply, secret)


def _problem(reply: Reply, secret: str) -> str | None:
    if not 200 <= reply.status < 300:
        return f"it answered {reply.status}"
    echoed = reply.headers.get(HEADER)
    if echoed is None:
        return f"it answered {reply.status} without the header X-Hook-Secret"
    if not hmac.compare_digest(echoed.encode("utf-8", "surrogateescape"), secret.encode()):
        return "it answered with another X-Hook-Secret than it was sent"
    return None
