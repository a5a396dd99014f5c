"""Answering a submission: at once or at the end of the work, whole or cut off."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.providers.sandbox.caller import Caller
from relay.providers.sandbox.crew import Crew
from relay.providers.sandbox.endpoint import Cut
from relay.providers.sandbox.intake import Ticket


def json_answer(body: Any, status: int = 200) -> Response:  # noqa: ANN401 -- whatever is JSON
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def answer_at_once(ticket: Ticket, answer: Callable[[], Response], crew: Crew, caller: Caller | None = None) -> ASGIApp:
    """The answer of a provider that does not hold the connection. Callbacks follow it; one that is to come early is awaited, and
    an answer that is to be cut waits for the end of the work."""
    faults = ticket.job.faults
    answered, called = asyncio.Event(), asyncio.Event()
    if caller is not None:
        crew.start(caller.follow(ticket, answered, called), f"callbacks of {ticket.job.id}")
        if faults.early_callback:
            await called.wait()
    if faults.drop_answer:
        await crew.wait_for(ticket.work)
    return _Telling(Cut() if faults.drop_answer else answer(), answered)


class _Telling:
    """An answer that says when it is out."""

    def __init__(self, answer: ASGIApp, answered: asyncio.Event) -> None:
        self._answer = answer
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        finally:
            self._answered.set()
