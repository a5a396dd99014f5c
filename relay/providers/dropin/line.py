"""The connection to an app: whether it is still there, while it waits and while it is answered.

What is lost before the last piece of an answer was handed to the connection was not taken. What is lost behind that nobody can tell but
the client itself.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")

_PIECE: Final = 64 * 1024
"""Bytes that are handed over at once. A server takes the next ones only when most of them are gone, so that a client that reads no more
is noticed."""


class Line:
    """One request's connection. Its body is to be read before anybody asks here."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[None] | None = None

    @property
    def is_gone(self) -> bool:
        return self._watch is not None and self._watch.done()

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives. Raises ClientDisconnect as soon as the client is gone; the work is given up then."""
        watch = self._watching()
        task = asyncio.create_task(work, name="work for an app")
        try:
            await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientDisconnect
            return task.result()
        finally:
            await _end(task)

    async def answer(self, app: ASGIApp) -> bool:
        """Send it. Whether all of it went out while the client was there."""
        self._watching()
        await asyncio.sleep(0)  # what is known of the connection is heard first
        is_whole = False

        async def in_pieces(message: Message) -> None:
            nonlocal is_whole
            if message["type"] != "http.response.body":
                await self._send(message)
                return
            body, is_last = message.get("body", b""), not message.get("more_body", False)
            for at in range(0, len(body) or 1, _PIECE):
                is_whole = is_last and at + _PIECE >= len(body) and not self.is_gone
                await self._send({**message, "body": body[at:at + _PIECE], "more_body": not is_last or at + _PIECE < len(body)})

        await app(self._scope, self._receive, in_pieces)
        return is_whole

    async def close(self) -> None:
        """Nobody watches any more."""
        if self._watch is not None:
            await _end(self._watch)

    def _watching(self) -> asyncio.Task[None]:
        if self._watch is None:
            self._watch = asyncio.create_task(self._until_gone(), name="watch over an app's connection")
        return self._watch

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue


async def _end(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
