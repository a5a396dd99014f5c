"""How Kie tells a task, in a callback or in its record, and a refusal: pure. Its readers are subscribers of the format `provider`, apps
that ask Relay instead of Kie, and those of the sandbox.

Refusals are HTTP 200 with the truth in `code`, but for 429 and for what fails before the API reads it: a path, method, content type or
body that is none has an HTTP status of its own.

A code that was Kie's own is told again; where another provider made the picture, its numbers mean something else, and the reason is
put into the nearest of Kie's codes. Of the two links the one to the result is all that Relay knows: it stands for both.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from relay.model import ErrorCode, Task, TaskError, TaskStatus
from relay.providers.kie import wire
from relay.providers.refusal import Refused, Why

MODERATED: Final = (400, "Your prompt was flagged by Website as violating content policies.")
FAILED: Final = (501, "Image generation task failed")
_REFUSALS: Final = {  # code and words; what is not here is 422, in the words of the refusal
    Why.KEY: (401, "You do not have access permissions"),
    Why.CREDITS: (402, "Insufficient credits"),
    Why.RATE: (429, "Your call frequency is too high. Please try again later."),
    Why.PATH: (404, "Not found"),
    Why.MISSING: (404, "The task was not found"),
    Why.BUSY: (455, "The service is not available at the moment. Please try again later."),
    Why.BROKEN: (500, "Server exception, please try again later"),
    Why.OVERRUN: (500, "The task is still being processed"),
    Why.UNKNOWN: (500, "It is not known how the task ended"),
    Why.MODERATED: MODERATED,
    Why.FAILED: FAILED,
}
_STATUSES: Final = {
    Why.RATE: 429, Why.BODY: 400, Why.MEDIA: 415, Why.LARGE: 413, Why.LATE: 408, Why.PATH: 404, Why.METHOD: 405, Why.CONFLICT: 409,
    Why.BROKEN: 500,
}
_UNPROCESSABLE: Final = 422
_OUT_OF_RANGE: Final = 500

_CODES: Final = {
    ErrorCode.MODERATED: 400,
    ErrorCode.INSUFFICIENT_CREDITS: 402,
    ErrorCode.INVALID_REQUEST: 422,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.PROVIDER_UNAVAILABLE: 455,
    ErrorCode.PROVIDER_ERROR: 501,
}
"""What is not here (a time limit, an outcome that nobody knows, a task that was cancelled) is 500; so is a key of Relay's that was not
taken: the app's is good."""
_OWN_CODES: Final = {str(code) for code in wire.CODES if code != 401}
_CALLED_BACK: Final = (400, 500, 501)
_BEFORE_THE_WORK: Final = (402, 404, 422, 429, 455, 505)


def envelope(code: int, message: str, data: object = None) -> dict[str, Any]:
    """What each answer and each callback is wrapped in."""
    return {"code": code, "msg": message, "data": data}


def refusal_of(refused: Refused) -> tuple[int, dict[str, Any]]:
    """HTTP status and body. A task that failed at once says why in its own words, and with its code if that is one of Kie's; a range of
    the tolerance is told without a field."""
    status = _STATUSES.get(refused.why, 200)
    is_range = refused.why is Why.FIELDS and not refused.problems and refused.error is None
    code, words = _REFUSALS.get(refused.why, (_OUT_OF_RANGE if is_range else _UNPROCESSABLE, _field_words(refused)))
    if refused.error is None:
        return status, envelope(code, words)
    return status, envelope(_own_code(refused.error) or code, refused.error.message)


def callback_of(task: Task, urls: Sequence[str], *, task_id: str) -> dict[str, Any]:
    """The callback. Kie has none for a task that is still open; that is told in the shape of the submit answer."""
    data: dict[str, Any] = {"taskId": task_id}
    if task.status is TaskStatus.SUCCEEDED:
        return envelope(wire.OK, "success", {**data, "info": _links(urls)})
    if task.status is TaskStatus.FAILED:
        code = code_of(task)
        return envelope(code if code in _CALLED_BACK else 500, message_of(task), {**data, "info": _links(())})
    return envelope(wire.OK, "success", data)


def record_of(task: Task, urls: Sequence[str], *, task_id: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """`data` of record-info. `order`: the request as the app sent it."""
    is_failed = task.status is TaskStatus.FAILED
    return {
        "taskId": task_id, "paramJson": msgspec.json.encode(order).decode(), "completeTime": time_of(task.completed_at),
        "createTime": time_of(task.created_at), "response": _links(urls) if task.status is TaskStatus.SUCCEEDED else None,
        "successFlag": _flag(task), "errorCode": code_of(task) if is_failed else None,
        "errorMessage": message_of(task) if is_failed else "",
    }


def code_of(task: Task) -> int:
    """The code of a task that failed."""
    if task.error is None:
        return 500
    own = _own_code(task.error) if task.provider == wire.TABLE.provider else None
    return own or _CODES.get(task.error.code, 500)


def message_of(task: Task) -> str:
    """Why a task failed."""
    return task.error.message if task.error else "failed"


def time_of(moment: datetime | None) -> str | None:
    """A moment as a record has it, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _own_code(error: TaskError) -> int | None:
    return int(error.provider_code or 0) if error.provider_code in _OWN_CODES else None


def _field_words(refused: Refused) -> str:
    return "; ".join(f"{problem.field} {problem.message}" for problem in refused.problems) or refused.message


def _flag(task: Task) -> int:
    match task.status:
        case TaskStatus.SUCCEEDED:
            return wire.SUCCESS
        case TaskStatus.FAILED:
            return wire.CREATION_FAILED if code_of(task) in _BEFORE_THE_WORK else wire.GENERATION_FAILED
        case _:
            return wire.GENERATING


def _links(urls: Sequence[str]) -> dict[str, str]:
    url = urls[0] if urls else ""
    return {"originImageUrl": url, "resultImageUrl": url}
