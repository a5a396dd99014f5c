"""A path of a stand-in as an ASGI application: the method chosen, and every failure put in the provider's words."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.providers.sandbox.refusal import Refused, Why

Handler = Callable[[Request], Awaitable[ASGIApp]]
Refuse = Callable[[Refused], Response]

_log = logging.getLogger(__name__)
_CUT_SECONDS: Final = 1.0


class Endpoint:
    """Answers one path. `handlers`: by method; none at all means that there is nothing at this path."""

    def __init__(self, handlers: Mapping[str, Handler], refuse: Refuse) -> None:
        self._handlers = handlers
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        try:
            return await self._handler_for(request)(request)
        except Refused as exc:
            answer = self._refuse(exc)
            if exc.why in (Why.LARGE, Why.LATE):
                answer.headers["connection"] = "close"  # the rest of the body is not wanted
            return answer
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        except Exception:  # noqa: BLE001 -- a bug in a stand-in is an answer in its provider's words, and a log line
            _log.exception("a stand-in provider failed")
            return self._refuse(Refused(Why.BROKEN, "Internal error"))

    def _handler_for(self, request: Request) -> Handler:
        if not self._handlers:
            raise Refused(Why.PATH, "Not Found")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in self._handlers:
            raise Refused(Why.METHOD, "Method Not Allowed")
        return self._handlers[method]


class Cut:
    """An answer that never comes: the connection is cut.

    The server's transport is aborted, so that not a byte is sent; uvicorn's `receive` is a method of the object that holds
    it. Where something stands between (another server, a middleware that wraps `receive`), an answer is begun and left:
    every server then closes the connection in the middle.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        abort = getattr(getattr(getattr(receive, "__self__", None), "transport", None), "abort", None)
        if abort is not None:
            abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CUT_SECONDS):
                    while (await receive())["type"] != "http.disconnect":
                        pass
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
