"""How APIFRAME tells a task and a refusal: Relay's own state put into its shapes, for subscribers of format `provider`, for apps that
ask Relay instead of APIFRAME, and for the sandbox."""

from collections.abc import Sequence
from typing import Any, Final

from relay.errors import FieldProblem
from relay.model import Task, TaskStatus
from relay.providers.apiframe.wire import FEWEST_FETCHED, MOST_FETCHED, TASK_TYPE, Notice
from relay.providers.refusal import Refused, Why

NO_TASK: Final = FieldProblem("task_id", "must be the id of a task")
WRONG_IDS: Final = FieldProblem("task_ids", f"must be a list of {FEWEST_FETCHED} to {MOST_FETCHED} ids")
_STATUSES: Final = {
    Why.KEY: 401, Why.CREDITS: 402, Why.RATE: 429, Why.FIELDS: 400, Why.BODY: 400, Why.MEDIA: 400, Why.LARGE: 413, Why.LATE: 408,
    Why.PATH: 404, Why.METHOD: 405, Why.MODERATED: 400, Why.FAILED: 500, Why.BROKEN: 500, Why.MISSING: 400, Why.CONFLICT: 409,
    Why.BUSY: 503, Why.OVERRUN: 504, Why.UNKNOWN: 500,
}
"""The pages name 200, 400, 401 and 500; the others are what everybody has."""


def notice(task: Task, urls: Sequence[str], *, task_id: str) -> Notice:
    """The task as APIFRAME's webhook and its query would tell it, under the id by which the asker knows it; with a `status` at the end
    too, which its SDK waits for."""
    if task.status is TaskStatus.SUCCEEDED and urls:
        return Notice(task_id=task_id, task_type=TASK_TYPE, status="finished", original_image_url=urls[0], image_url=urls[0])
    if not task.status.is_final:
        return Notice(task_id=task_id, task_type=TASK_TYPE, status="processing", percentage=task.progress or 0)
    message = task.error.message if task.error else "no picture"
    return Notice(task_id=task_id, task_type=TASK_TYPE, status="failed", message=message)


def refusal(refused: Refused) -> tuple[int, Any]:
    """Status and body of a refusal. A bad key and an error of the server are told without words, as documented."""
    status = _STATUSES[refused.why]
    if refused.why in (Why.KEY, Why.BROKEN):
        return status, {}
    messages = [f"{problem.field} {problem.message}" for problem in refused.problems] or [refused.message]
    return status, {"errors": [{"msg": message} for message in messages]}
