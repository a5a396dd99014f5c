"""What Serevix answers, read: an Answer in, an Update or a ProviderError out, whatever the bytes are."""

from typing import Any, Final

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from relay.providers.answer import (
    Answer,
    error_text,
    failed,
    id_at,
    is_link,
    no_result,
    number_at,
    percent_at,
    refusal,
    signed_until,
    text_at,
)
from relay.providers.serevix.wire import MODERATION_REASONS, REASONS, Status

_WAITING: Final = ("pending", "queued", "task-queued")


def read_accepted(answer: Answer) -> Update:
    """The answer to a submission. Raises ProviderError, whose fate says whether the task may run."""
    if not answer.is_success:
        raise refusal(answer, REASONS)
    body = answer.json_object()
    task_id = id_at(body, "id")
    if task_id is None:
        raise _unexplained(body, "an answer without the id of a task")
    return Update(status=TaskStatus.SUBMITTED, provider_task_id=task_id, cost=number_at(body, "cost"))


def read_result(answer: Answer, *, asked: str) -> Update:
    """How the task `asked` stands. Raises ProviderError where the answer does not say: a task that is not found may only be
    not there yet, so that is no end. A status that nobody documented is that of an open task."""
    if not answer.is_success:
        raise no_result(answer, REASONS)
    body = answer.json_object()
    status = text_at(body, "status")
    if status is None or status == Status.NOT_FOUND:
        raise _unexplained(body, status or "an answer without a status")
    if id_at(body, "id") not in (None, asked):
        raise _unexplained(body, "the result of another task")
    return _update(body, status, asked)


def _update(body: dict[str, Any], status: str, task_id: str) -> Update:
    match status:
        case Status.READY:
            return _ready(body, task_id)
        case Status.REQUEST_MODERATED | Status.CONTENT_MODERATED:
            return _failure(task_id, failed(ErrorCode.MODERATED, _moderation(body) or status, status))
        case Status.ERROR | "Failed":
            text = text_at(body, "details", "error") or error_text(body.get("details")) or error_text(body)
            return _failure(task_id, failed(ErrorCode.PROVIDER_ERROR, text, status))
    progress = percent_at(body, "progress", fraction=True)
    is_waiting = not progress and status.lower() in _WAITING
    return Update(status=TaskStatus.SUBMITTED if is_waiting else TaskStatus.PROCESSING, provider_task_id=task_id, progress=progress)


def _ready(body: dict[str, Any], task_id: str) -> Update:
    """`sample` is kept byte for byte: it is signed. What the end cost stands in the result, else beside it."""
    sample = text_at(body, "result", "sample")
    if sample is None or not is_link(sample):
        return _failure(task_id, failed(ErrorCode.PROVIDER_ERROR, "Ready, but without a link to the picture", Status.READY))
    settled = number_at(body, "result", "cost")
    return Update(
        status=TaskStatus.SUCCEEDED, provider_task_id=task_id, progress=100,
        pictures=(Picture(url=sample, expires_at=signed_until(sample)),),
        cost=number_at(body, "cost") if settled is None else settled,
    )


def _failure(task_id: str, error: TaskError) -> Update:
    return Update(status=TaskStatus.FAILED, provider_task_id=task_id, error=error)


def _moderation(body: dict[str, Any]) -> str:
    details = body.get("details")
    reasons = details.get(MODERATION_REASONS) if isinstance(details, dict) else None
    return "; ".join(reason for reason in reasons if isinstance(reason, str)) if isinstance(reasons, list) else ""


def _unexplained(body: dict[str, Any], what: str) -> ProviderError:
    return ProviderError(ErrorCode.PROVIDER_ERROR, f"Serevix sent {what}: {error_text(body) or 'no explanation'}", fate=Fate.UNKNOWN)
