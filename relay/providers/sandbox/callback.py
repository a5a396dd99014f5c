"""Calling back: one POST, whose outcome is a status or nothing."""

import asyncio
import functools
import ssl
from collections.abc import Mapping
from typing import Final, Protocol

import httpx

_SECONDS: Final = 15.0  # as long as Kie waits for an answer; the others do not say


class CallbackSender(Protocol):
    """Posts callbacks."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        """The status of the answer, or None if none came. Never raises."""
        ...

    async def aclose(self) -> None: ...


class HttpCallbackSender:
    """Over httpx: 15 s in all for one POST, no redirects, no settings from the environment; the answer's body is not read."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            timeout=None, trust_env=False, follow_redirects=False, verify=_tls(),  # noqa: S113 -- the deadline below is total
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0),
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        try:
            async with asyncio.timeout(_SECONDS), self._client.stream("POST", url, content=body, headers=dict(headers)) as response:
                return response.status_code
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None

    async def aclose(self) -> None:
        await self._client.aclose()


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all: loading the certificates takes longer than a callback."""
    return httpx.create_ssl_context(trust_env=False)
