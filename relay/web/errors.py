"""The only map from errors to HTTP: RFC 9457 problems, of a closed list of codes.

`detail` says what the caller can mend, `errors` names each field. What we did wrong ourselves is logged with its traceback and
told as `internal`, without a word about the inside.
"""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.errors import FieldProblem, ProviderError, RelayError, RequestError
from relay.view import to_json

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
TITLES: Final = {
    "invalid_request": "The request is wrong",
    "unsupported_parameter": "The provider or model cannot express this",
    "unknown_provider": "There is no such provider",
    "provider_not_configured": "This provider is not configured",
    "unauthorized": "A valid key is needed",
    "budget_exceeded": "The budget is spent",
    "forbidden": "This key may not do that",
    "not_found": "There is no such thing here",
    "method_not_allowed": "This method is not allowed here",
    "conflict": "This contradicts what is there already",
    "payload_too_large": "The body is too large",
    "unsupported_media_type": "This content type is not taken here",
    "rate_limited": "Too many requests",
    "unavailable": "Not available at the moment",
    "internal": "Something went wrong inside Relay",
}
_CODES_BY_STATUS: Final = {
    401: "unauthorized", 402: "budget_exceeded", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 409: "conflict",
    413: "payload_too_large", 415: "unsupported_media_type", 429: "rate_limited", 503: "unavailable",
}
_RETRY_AFTER: Final = 5
"""Seconds to wait where the error does not say how long."""


class ProblemField(Struct, frozen=True):
    """`field`: the dotted name of a field, a query parameter or a header."""

    field: str
    message: str


class Problem(Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem. `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemField]


def answer_problem(exc: Exception) -> Response:
    """The answer that `exc` deserves. Whatever is not expected is logged here."""
    if isinstance(exc, HTTPException):
        return _from_starlette(exc)
    if isinstance(exc, ProviderError):
        return _respond(503, "unavailable", exc.message, retry_after=round(exc.retry_after or 0) or _RETRY_AFTER)
    if isinstance(exc, RequestError):
        return _respond(exc.status, exc.code, exc.message, errors=exc.errors, retry_after=exc.retry_after)
    if isinstance(exc, RelayError) and exc.status < 500:
        return _respond(exc.status, exc.code, exc.message)
    if isinstance(exc, RelayError) and exc.status == 503:
        _log.warning("not available: %s", exc.message)
        retry_after = getattr(exc, "retry_after", None)
        return _respond(503, "unavailable", TITLES["unavailable"] + "; nothing was half done.", retry_after=retry_after)
    _log.error("unexpected error", exc_info=exc)
    return _respond(500, "internal", "The error was logged. Nothing about your request needs to change.")


def _from_starlette(exc: HTTPException) -> Response:
    code = _CODES_BY_STATUS.get(exc.status_code, "invalid_request" if exc.status_code < 500 else "internal")
    detail = {404: "There is nothing at this path.", 405: "This path does not take this method."}.get(exc.status_code, TITLES[code])
    return _respond(exc.status_code, code, detail, headers=dict(exc.headers or {}))


def _respond(status: int, code: str, detail: str, *, errors: Iterable[FieldProblem] = (), retry_after: int | None = None,
             headers: dict[str, str] | None = None) -> Response:
    problem = Problem(
        type=f"urn:relay:problem:{code}", title=TITLES.get(code, HTTPStatus(status).phrase), status=status, code=code, detail=detail,
        errors=[ProblemField(*error) for error in errors],
    )
    return Response(to_json(problem), status, {**(headers or {}), **_headers_for(status, retry_after)}, MEDIA_TYPE)


def _headers_for(status: int, retry_after: int | None) -> dict[str, str]:
    headers: dict[str, Any] = {}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="relay"'
    if status in (429, 503):
        headers["retry-after"] = str(max(1, retry_after or _RETRY_AFTER))
    return headers


class Problems:
    """Middleware: no error passes, unless the answer has begun; then the connection ends, and the log says why."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as exc:
            if has_begun:
                _log.exception("an answer broke off")
                raise
            await answer_problem(exc)(scope, receive, send)
