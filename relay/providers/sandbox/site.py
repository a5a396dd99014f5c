"""The five stand-ins put together.

Their modules import from this package, so they are imported here as modules and their names are looked up later: whichever of them
all is imported first, the circle closes.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

import relay.providers.apiframe.sandbox as apiframe
import relay.providers.kie.sandbox as kie
import relay.providers.segmind.sandbox as segmind
import relay.providers.serevix.sandbox as serevix
import relay.providers.yescale.sandbox as yescale
from relay.providers.sandbox.answer import json_answer
from relay.providers.sandbox.callback import CallbackSender, HttpCallbackSender
from relay.providers.sandbox.crew import Crew
from relay.providers.sandbox.endpoint import Endpoint
from relay.providers.sandbox.intake import Workshop
from relay.providers.sandbox.ledger import Ledger
from relay.providers.sandbox.picture import Studio
from relay.providers.sandbox.refusal import Refused

_NAMES: Final = ("serevix", "apiframe", "segmind", "kie", "yescale")
_BODY_SECONDS: Final = 15.0


def _now() -> datetime:
    return datetime.now(UTC)


class Sandbox:
    """The stand-ins below /serevix, /apiframe, /segmind, /kie and /yescale, and their ledger. Nothing can be submitted unless `run`
    is running.

    `base_url`: where this is reached. `body_timeout`: seconds in which a request's body must have come. `kie_hmac_key`: Kie signs its
    callbacks with it; `kie_retries`: how many seconds it waits before it repeats one. `sender` replaces the real way of calling back.
    """

    def __init__(
        self, *, base_url: str, body_timeout: float = _BODY_SECONDS, kie_hmac_key: str | None = None,
        kie_retries: Sequence[float] = kie.RETRIES, sender: CallbackSender | None = None, clock: Callable[[], datetime] = _now,
    ) -> None:
        self._ledger = Ledger(_NAMES)
        self._shop = Workshop(
            base_url=base_url.rstrip("/"), ledger=self._ledger, crew=Crew(), studio=Studio(), sender=sender or HttpCallbackSender(),
            clock=clock, body_seconds=body_timeout,
        )
        self._stand_ins = (
            serevix.StandIn(self._shop), apiframe.StandIn(self._shop), segmind.StandIn(self._shop),
            kie.StandIn(self._shop, hmac_key=kie_hmac_key, retries=kie_retries), yescale.StandIn(self._shop),
        )

    def routes(self) -> list[BaseRoute]:
        ledger = Route("/ledger", Endpoint({"GET": self._show}, _refuse))
        return [ledger, *(route for stand_in in self._stand_ins for route in stand_in.routes())]

    async def run(self, stopping: asyncio.Event) -> None:
        """Do the work behind the answers until `stopping`."""
        try:
            await self._shop.crew.run(stopping)
        finally:
            await self._shop.sender.aclose()

    async def _show(self, request: Request) -> Response:
        return json_answer(self._ledger.show(request.query_params.get("prompt")))


def _refuse(refused: Refused) -> Response:
    return JSONResponse({"error": refused.message}, 405)
