"""Asking a relay that may be dead, full or locked at the moment, as providers and careful callers do: again, until it is taken."""

import asyncio
from typing import Any, Final

import aiohttp
import msgspec

_AGAIN_AFTER: Final = 0.05
_PATIENCE: Final = 60.0


class Insistent:
    """`refused` counts the answers of 503, `broken` the connections that ended without an answer."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.refused = 0
        self.broken = 0

    async def post(self, url: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """The first answer of 2xx. Any other than that and 503 with Retry-After is a fault."""
        async with asyncio.timeout(_PATIENCE):
            while (answer := await self._once(url, body, headers)) is None:
                await asyncio.sleep(_AGAIN_AFTER)
        return answer

    async def _once(self, url: str, body: dict[str, Any], headers: dict[str, str] | None) -> dict[str, Any] | None:
        try:
            async with self._session.post(url, json=body, headers=headers) as answer:
                if answer.ok:
                    return dict(msgspec.json.decode(await answer.read() or b"{}"))
                assert answer.status == 503, await answer.text()
                assert int(answer.headers["retry-after"]) > 0
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            self.broken += 1
            return None
        self.refused += 1
        return None
