"""How many callbacks may be under way at once, found out by how long they take: whoever comes past that is told at once to come again.

A callback that waits in a long queue is worth less than one that is refused: its provider gives up waiting and sends it again, and
then both are work. So while one takes longer than a tenth of a second, fewer are let in, a quarter less each time; and while that is
not so, more and more again. A callback counts from when its body is there: a few clients that drip would else have everybody refused.
A refusal costs next to nothing: it comes before all else, its answer is always the same, and the log speaks of them once a second.
"""

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.errors import Unavailable
from relay.ports import Meter
from relay.web.body import IS_WHOLE
from relay.web.errors import answer_problem

_log = logging.getLogger(__name__)

_SLOW_SECONDS: Final = 0.1
_FIRST: Final = 256.0
_FEWEST: Final = 32.0
_MOST: Final = 4096.0
_SILENCE_SECONDS: Final = 1.0


class Valve:
    """Outermost middleware of the site."""

    def __init__(self, app: ASGIApp, *, meter: Meter) -> None:
        self._app = app
        self._meter = meter
        self._refusal = answer_problem(Unavailable("More comes in than can be written down at the moment."))
        self._under_way = 0
        self._limit = _FIRST
        self._cut_at = self._told_at = 0.0
        self._refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/callbacks/"):
            await self._app(scope, receive, send)
        elif self._under_way >= self._limit:
            self._count()
            await self._refusal(scope, receive, send)
        elif IS_WHOLE not in scope:
            await self._let_in_when_whole(scope, receive, send)
        else:
            begun_at = self._begin()
            try:
                await self._app(scope, receive, send)
            finally:
                self._end(begun_at)

    async def _let_in_when_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun_at: float | None = None

        async def watched() -> Message:
            nonlocal begun_at
            message = await receive()
            if begun_at is None and message["type"] == "http.request" and not message.get("more_body", False):
                begun_at = self._begin()
            return message

        try:
            await self._app(scope, watched, send)
        finally:
            if begun_at is not None:
                self._end(begun_at)

    def _begin(self) -> float:
        self._under_way += 1
        return time.monotonic()

    def _end(self, begun_at: float) -> None:
        self._under_way -= 1
        self._learn(begun_at, time.monotonic())

    def _learn(self, begun_at: float, now: float) -> None:
        if now - begun_at <= _SLOW_SECONDS:
            self._limit = min(_MOST, self._limit + 0.1)
        elif begun_at > self._cut_at:  # what began before the last cut tells nothing of what that brought
            self._limit = max(_FEWEST, self._limit * 0.75)
            self._cut_at = now

    def _count(self) -> None:
        self._meter.count("relay_callbacks_shed_total")
        self._refused += 1
        now = time.monotonic()
        if now - self._told_at >= _SILENCE_SECONDS:
            _log.warning("%d callbacks were told to come again: %d are under way", self._refused, self._under_way)
            self._refused, self._told_at = 0, now
