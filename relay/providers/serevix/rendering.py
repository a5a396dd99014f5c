"""How the gateway tells a task and a refusal: Relay's own state put into its shapes, for subscribers of format `provider`, for apps that
ask Relay instead of Serevix, and for the sandbox."""

from collections.abc import Sequence
from typing import Any, Final

from relay.errors import FieldProblem
from relay.model import ErrorCode, Task, TaskStatus
from relay.providers.refusal import Refused, Why
from relay.providers.serevix.wire import MODERATION_REASONS, Result, ResultBody, Status

_LONGEST_ID: Final = 255
_STATUSES: Final = {
    Why.KEY: 401, Why.CREDITS: 402, Why.RATE: 429, Why.FIELDS: 422, Why.BODY: 422, Why.MEDIA: 415, Why.LARGE: 413, Why.LATE: 408,
    Why.PATH: 404, Why.METHOD: 405, Why.MODERATED: 400, Why.FAILED: 500, Why.BROKEN: 500, Why.MISSING: 404, Why.CONFLICT: 409,
    Why.BUSY: 503, Why.OVERRUN: 504, Why.UNKNOWN: 500,
}
"""A bad key is 401, as a gateway with Bearer keys has it; Black Forest Labs has 403."""


def result_body(task: Task, urls: Sequence[str], *, task_id: str) -> ResultBody:
    """The task as the gateway's query would tell it, under the id by which the asker knows it. A final refusal for its content is
    `Content Moderated`, also where nothing was made: on it clients stop asking at once."""
    if task.status is TaskStatus.SUCCEEDED and urls:
        return ResultBody(id=task_id, status=Status.READY, result=_result(task, urls[0]))
    if not task.status.is_final:
        return ResultBody(id=task_id, status=Status.PENDING, result=None, progress=None if task.progress is None else task.progress / 100)
    message = task.error.message if task.error else "no picture"
    if task.error and task.error.code is ErrorCode.MODERATED:
        return ResultBody(id=task_id, status=Status.CONTENT_MODERATED, result=None, details={MODERATION_REASONS: [message]})
    return ResultBody(id=task_id, status=Status.ERROR, result=None, details={"error": message})


def unknown_task(task_id: str) -> ResultBody:
    """What is said of an id that names no task, with HTTP 404."""
    return ResultBody(id=task_id[:_LONGEST_ID], status=Status.NOT_FOUND, result=None)


def refusal(refused: Refused) -> tuple[int, Any]:
    """Status and body of a refusal: FastAPI's `detail`, a list about fields and a sentence about everything else."""
    return _STATUSES[refused.why], {"detail": _detail(refused)}


def missing_id() -> tuple[int, Any]:
    """Status and body of the answer to a query without an id."""
    return 422, {"detail": [{"type": "missing", "loc": ["query", "id"], "msg": "Field required"}]}


def _detail(refused: Refused) -> str | list[dict[str, Any]]:
    match refused.why:
        case Why.FIELDS if refused.problems:
            return [_field_detail(problem) for problem in refused.problems]
        case Why.BODY:
            return [{"type": "json_invalid", "loc": ["body", 0], "msg": refused.message}]
        case Why.KEY:
            return "Not authenticated - Invalid Authentication"
        case Why.CREDITS:
            return "Insufficient credits"
        case Why.RATE:
            return "Too many active tasks"
        case _:
            return refused.message


def _field_detail(problem: FieldProblem) -> dict[str, Any]:
    """The model is the only field that stands in the path."""
    place = "path" if problem.field == "model" else "body"
    return {"type": "value_error", "loc": [place, problem.field], "msg": f"Value {problem.message}"}


def _result(task: Task, url: str) -> Result:
    start, end = task.submitted_at, task.completed_at
    return Result(
        sample=url, prompt=task.prompt, seed=task.input.get("seed"),
        start_time=start.timestamp() if start else None, end_time=end.timestamp() if end else None,
        duration=(end - start).total_seconds() if start and end else None,
    )
