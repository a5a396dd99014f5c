"""Whatever goes wrong, as a Refused: what a dialect puts into its provider's words."""

import logging
from collections.abc import Mapping
from typing import Final

from relay.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    Late,
    Malformed,
    NotFound,
    ProviderNotConfigured,
    RateLimited,
    RequestError,
    StoreError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from relay.model import ErrorCode, Task, TaskError
from relay.providers.refusal import Refused, Why

_log = logging.getLogger(__name__)

_REQUESTS: Final[tuple[tuple[type[RequestError], Why], ...]] = (
    (Unauthorized, Why.KEY), (Forbidden, Why.KEY), (Late, Why.LATE), (Malformed, Why.BODY), (UnsupportedMediaType, Why.MEDIA),
    (TooLarge, Why.LARGE), (NotFound, Why.MISSING), (Conflict, Why.CONFLICT), (RateLimited, Why.RATE), (Unavailable, Why.BUSY),
    (ProviderNotConfigured, Why.BUSY),
)
"""The more special ones first; the rest is about fields. That a provider has no key here is nothing that an app could mend."""
_TASKS: Final[Mapping[ErrorCode, Why]] = {
    ErrorCode.MODERATED: Why.MODERATED, ErrorCode.INVALID_REQUEST: Why.FIELDS, ErrorCode.INSUFFICIENT_CREDITS: Why.CREDITS,
    ErrorCode.RATE_LIMITED: Why.RATE, ErrorCode.PROVIDER_UNAVAILABLE: Why.BUSY, ErrorCode.TIMEOUT: Why.UNKNOWN,
    ErrorCode.OUTCOME_UNKNOWN: Why.UNKNOWN,
}
"""The rest failed. A key of Relay's own that is refused is none of the app's."""
_REPEATABLE: Final = frozenset({Why.BUSY, Why.RATE})


def refused_for(exc: Exception, names: Mapping[str, str], task_id: str | None) -> Refused:
    """`names`: normalized field -> what the app calls it; `task_id`: the task that was made already. What is not expected is logged."""
    if isinstance(exc, Refused):
        return Refused(exc.why, exc.message, renamed(exc.problems, names), retry_after=exc.retry_after, task_id=exc.task_id or task_id,
                       error=exc.error, is_lasting=exc.is_lasting)
    if isinstance(exc, RequestError):
        why = next((why for kind, why in _REQUESTS if isinstance(exc, kind)), Why.FIELDS)
        problems = renamed(exc.errors, names)
        message = "; ".join(f"{problem.field}: {problem.message}" for problem in problems) or exc.message
        is_lasting = isinstance(exc, ProviderNotConfigured)
        return Refused(why, message, problems, retry_after=exc.retry_after, task_id=task_id, is_lasting=is_lasting)
    if isinstance(exc, StoreError):
        _log.warning("not available: %s", exc.message)
        return Refused(Why.BUSY, "This cannot be taken at the moment; nothing was half done.", retry_after=exc.retry_after, task_id=task_id)
    _log.error("unexpected error", exc_info=exc)
    return Refused(Why.BROKEN, "Internal error", task_id=task_id)


def failure_of(task: Task) -> Refused:
    """A task that failed."""
    error = task.error or TaskError(code=ErrorCode.PROVIDER_ERROR, message="the task failed")
    return Refused(_TASKS.get(error.code, Why.FAILED), error.message, task_id=task.id, error=error)


def renamed(problems: list[FieldProblem], names: Mapping[str, str]) -> list[FieldProblem]:
    """Each as the app calls it, and what is wrong with two sides of one field said once."""
    found = [FieldProblem(names.get(problem.field, problem.field.removeprefix("options.")), problem.message) for problem in problems]
    return list(dict.fromkeys(found))


def headers_for(refused: Refused) -> dict[str, str]:
    """What Relay adds to the provider's words. `x-should-retry: false` tells clients of OpenAI's kind that asking again brings nothing:
    what was made is not to be made, and paid, again."""
    headers = {}
    if refused.task_id is not None:
        headers["x-relay-task-id"] = refused.task_id
    is_of_a_task = refused.task_id is not None and not (refused.error is None and refused.why is Why.BUSY)
    if is_of_a_task or refused.is_lasting or refused.why is Why.CONFLICT:
        headers["x-should-retry"] = "false"
    if refused.is_lasting:
        return headers
    if refused.retry_after is not None or (refused.why in _REPEATABLE and refused.error is None):
        headers["retry-after"] = str(max(1, refused.retry_after or 5))
    return headers
