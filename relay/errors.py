"""Every error of ours.

RelayError                     code (stable string), status
├─ ConfigError                 the operator must act: start fails, exit 2, all bad keys listed at once
├─ RequestError                the caller must act: 400 401 402 403 404 405 409 413 415 422 429
├─ ProviderError               the provider said no or nothing: carries a reason from the closed list
└─ StoreError                  we must act: 503 with Retry-After; nothing was half-written

The docstring of a class is its default message. A foreign exception is translated at the one edge that calls the library,
`raise ... from exc`; nothing else leaves an adapter.
"""

from enum import StrEnum
from typing import NamedTuple


class FieldProblem(NamedTuple):
    """One entry of `errors` in the answer: a dotted field name, and what is wrong with the value and what is allowed."""

    field: str
    message: str


class RelayError(Exception):
    """Something went wrong inside Relay."""

    code = "internal"
    status = 500

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        super().__init__(self.message)


class ConfigError(RelayError):
    """The settings are wrong."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))


class RequestError(RelayError):
    """The request is wrong."""

    code = "invalid_request"
    status = 400

    def __init__(self, message: str | None = None, *, errors: list[FieldProblem] | None = None,
                 retry_after: int | None = None) -> None:
        self.errors = errors or []
        self.retry_after = retry_after
        if message is None and self.errors:
            message = "; ".join(f"{error.field}: {error.message}" for error in self.errors)
        super().__init__(message)


class Malformed(RequestError):
    """The body is not what it says it is."""


class Late(Malformed):
    """The body did not arrive in time."""


class Invalid(RequestError):
    """A field is not what it may be."""

    status = 422


class Unsupported(RequestError):
    """The chosen provider or model cannot express this field."""

    code = "unsupported_parameter"
    status = 422


class UnknownProvider(RequestError):
    """There is no such provider."""

    code = "unknown_provider"
    status = 422


class ProviderNotConfigured(RequestError):
    """This provider has no key here."""

    code = "provider_not_configured"
    status = 422


class Unauthorized(RequestError):
    """A valid key is needed."""

    code = "unauthorized"
    status = 401


class Forbidden(RequestError):
    """This key may not do that."""

    code = "forbidden"
    status = 403


class NotFound(RequestError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class MethodNotAllowed(RequestError):
    """This method is not allowed here."""

    code = "method_not_allowed"
    status = 405


class Conflict(RequestError):
    """This contradicts what is there already."""

    code = "conflict"
    status = 409


class TooLarge(RequestError):
    """The body is too large."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(RequestError):
    """This content type is not taken here."""

    code = "unsupported_media_type"
    status = 415


class RateLimited(RequestError):
    """Too many requests."""

    code = "rate_limited"
    status = 429


class Unavailable(RequestError):
    """This cannot be answered now; try again."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retry_after=5)


class StoreError(RelayError):
    """The store cannot take this now; nothing was half-written."""

    code = "unavailable"
    status = 503
    retry_after = 1


class Fate(StrEnum):
    """What a provider's refusal or silence means for a submitted request.

    REFUSED: it answered no; nothing runs, asking again would be answered no again.
    NOT_ACCEPTED: surely nothing runs; asking again later may work (name, connect, TLS, 429, 503).
    UNKNOWN: the request may have reached it; never send it again.
    """

    REFUSED = "refused"
    NOT_ACCEPTED = "not_accepted"
    UNKNOWN = "unknown"


class ProviderError(RelayError):
    """The provider said no, or nothing.

    `reason` is a value of model.ErrorCode; `provider_code` the provider's own code as text. Never holds a key.
    """

    code = "provider_error"
    status = 502

    def __init__(self, reason: str, message: str, *, fate: Fate, provider_code: str | None = None,
                 retry_after: float | None = None) -> None:
        self.reason = reason
        self.fate = fate
        self.provider_code = provider_code
        self.retry_after = retry_after
        super().__init__(message)


class Unreadable(RelayError):
    """The callback could not be read."""


class Unformattable(RelayError):
    """The event could not be put into the format of the subscription."""
