"""How YEScale's gateway tells the end of a call, and a refusal: for subscribers of the format `provider`, apps that ask Relay instead of
YEScale, and those of the sandbox.

Errors have OpenAI's envelope, the codes are those of the gateways of this family.
"""

from collections.abc import Sequence
from typing import Final

from relay.model import ErrorCode, Task, TaskError
from relay.providers.refusal import Refused, Why
from relay.providers.yescale import wire

_GATEWAY: Final = "new_api_error"
_REQUEST: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_REFUSALS: Final[dict[Why, tuple[int, str, str | None]]] = {  # status, type, code
    Why.KEY: (401, _GATEWAY, "invalid_api_key"),
    Why.CREDITS: (403, _GATEWAY, "insufficient_user_quota"),
    Why.RATE: (429, "rate_limit_error", "rate_limit_exceeded"),
    Why.FIELDS: (400, _REQUEST, None),
    Why.BODY: (400, _REQUEST, None),
    Why.MEDIA: (415, _REQUEST, None),
    Why.LARGE: (413, _REQUEST, None),
    Why.LATE: (408, _REQUEST, None),
    Why.PATH: (404, _REQUEST, None),
    Why.METHOD: (405, _REQUEST, "method_not_allowed"),
    Why.MODERATED: (400, _REQUEST, "content_policy_violation"),
    Why.FAILED: (500, "upstream_error", "do_request_failed"),
    Why.BROKEN: (500, _GATEWAY, None),
    Why.MISSING: (404, _REQUEST, "not_found"),
    Why.CONFLICT: (409, _REQUEST, "idempotency_key_reused"),
    Why.BUSY: (503, _SERVER, "service_unavailable"),
    Why.OVERRUN: (504, _SERVER, "timeout"),
    Why.UNKNOWN: (502, "upstream_error", "outcome_unknown"),
}
_TYPES: Final = {
    ErrorCode.MODERATED: _REQUEST, ErrorCode.INVALID_REQUEST: _REQUEST, ErrorCode.AUTHENTICATION: "authentication_error",
    ErrorCode.INSUFFICIENT_CREDITS: "insufficient_quota", ErrorCode.RATE_LIMITED: "rate_limit_error",
}


def answer_of(task: Task, items: Sequence[wire.Item]) -> wire.Generated:
    """The answer to a call that succeeded."""
    return wire.Generated(created=int((task.completed_at or task.created_at).timestamp()), data=list(items))


def failure_of(error: TaskError | None) -> wire.Failed:
    """Why a task failed."""
    if error is None:
        return wire.Failed(wire.ApiError(message="The request failed.", type="api_error"))
    return wire.Failed(wire.ApiError(
        message=error.message, type=_TYPES.get(error.code, "api_error"), code=error.provider_code or error.code))


def refusal(refused: Refused) -> tuple[int, wire.Failed]:
    """Status and body of a call that is refused."""
    status, kind, code = _REFUSALS[refused.why]
    param = refused.problems[0].field if refused.problems else None
    return status, wire.Failed(wire.ApiError(message=refused.message, type=kind, param=param, code=code))
