"""What happens to every request, around the routes: a request id, security headers, one log line, two figures.

The log line shows the path with capabilities masked, decoded and quoted anew so that neither an escape nor a line break gets past
the mask, and of the query only what cannot be a secret.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.ports import Meter
from relay.web.errors import answer_problem

_log = logging.getLogger("relay.access")

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_CALLBACKS: Final = "/callbacks/"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~/:*-]*")  # what quoting leaves as it is
_HARMLESS: Final = frozenset({"limit", "cursor", "status", "provider", "model", "type", "types", "task_id", "subscription_id", "event_type",
                              "verdict", "since", "created_after", "created_before", "wait", "last_event_id"})
_Header = tuple[bytes, bytes]
_SECURITY: Final[tuple[_Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_NAMES: Final = frozenset({b"x-request-id", *(name for name, _ in _SECURITY)})
_name_of: Final = itemgetter(0)
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_CLOSED_BY_CLIENT: Final = 499
_SAID: Final = "relay.said"


class Journal:
    """Middleware around all that answers."""

    def __init__(self, app: ASGIApp, *, meter: Meter, new_id: Callable[[str], str]) -> None:
        self._app = app
        self._meter = meter
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = self._request_id(scope)
        status = _CLOSED_BY_CLIENT

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _dressed(message.get("headers", ()), request_id)
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        finally:
            self._record(scope, status, request_id, time.perf_counter() - started)

    async def answer(self, scope: Scope, send: Send, work: Awaitable[Response]) -> None:
        """The same for an answer that comes whole, or as an error, without the layers that others pass on their way."""
        started = time.perf_counter()
        request_id = self._request_id(scope)
        status = _CLOSED_BY_CLIENT
        try:
            response = await _told(work)
            status = response.status_code
            await send({"type": "http.response.start", "status": status, "headers": _dressed(response.raw_headers, request_id)})
            await send({"type": "http.response.body", "body": response.body})
        except ClientDisconnect:
            return
        finally:
            self._record(scope, status, request_id, time.perf_counter() - started)

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                return str(value, "ascii")
        return self._new_id("req")

    def _record(self, scope: Scope, status: int, request_id: str, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "unmatched"
        self._meter.count("relay_http_requests_total", route=route, status=str(status))
        self._meter.observe("relay_http_request_seconds", seconds, route=route)
        level = logging.DEBUG if route in _QUIET else logging.INFO
        figures = {"ms": round(seconds * 1000, 1), "request_id": request_id, **scope.get(_SAID, {})}
        _log.log(level, "%s %s %d", scope["method"], masked(scope), status, extra=figures)


async def _told(work: Awaitable[Response]) -> Response:
    try:
        return await work
    except ClientDisconnect:
        raise
    except Exception as exc:  # noqa: BLE001 -- none passes: see Problems
        return answer_problem(exc)


def add_to_log(scope: Scope, **fields: str) -> None:
    """What a handler has to say of a request goes into the one line that the log has for it."""
    scope.setdefault(_SAID, {}).update(fields)


def _dressed(given: Sequence[_Header], request_id: str) -> list[_Header]:
    """With ours, but for those that the answer has itself."""
    ours = ((b"x-request-id", request_id.encode()), *_SECURITY)
    if _NAMES.isdisjoint(map(_name_of, given)):  # as nearly always
        return [*given, *ours]
    names = {name for name, _ in given}
    return [*given, *(header for header in ours if header[0] not in names)]


def masked(scope: Scope) -> str:
    """The path and query of a request, fit for a log."""
    path = _without_capability(scope["path"])
    if not _PLAIN.fullmatch(path):
        path = quote(path, safe="/:*~")
    query = scope.get("query_string")
    return path + _shown(query) if query else path


def _without_capability(path: str) -> str:
    provider, _, token = path.removeprefix(_CALLBACKS).partition("/")
    return f"{_CALLBACKS}{provider}/********" if token and path.startswith(_CALLBACKS) else path


def _shown(query: bytes) -> str:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    shown = urlencode([(name, value if name in _HARMLESS else "***") for name, value in pairs], safe="*")
    return f"?{shown}" if shown else ""
