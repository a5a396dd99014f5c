"""What APIFRAME says, read: bytes in, an Update or an error out, whatever the bytes are.

A webhook and an answer of fetch have the same body, so one function reads both. What it cannot make sense of is an error of
the query, or an unreadable webhook: then the task is asked for.
"""

from typing import Any

from relay.errors import Fate, ProviderError, Unreadable
from relay.model import ErrorCode, Picture, TaskStatus, Update
from relay.providers.answer import (
    Answer,
    decode_json,
    error_text,
    failed,
    id_at,
    is_link,
    no_result,
    percent_at,
    refusal,
    signed_until,
    text_at,
)
from relay.providers.apiframe.wire import FAILED, FINISHED, REASONS, WAITING


def read_accepted(answer: Answer) -> Update:
    """The answer to a submission. Raises ProviderError, whose fate says whether the task may run."""
    if not answer.is_success:
        raise refusal(answer, REASONS)
    body = answer.json_object()
    task_id = id_at(body, "task_id")
    if task_id is None:
        raise _unexplained(body, "an answer without the id of a task")
    return Update(status=TaskStatus.SUBMITTED, provider_task_id=task_id)


def read_fetched(answer: Answer, *, asked: str) -> Update:
    """How the task `asked` stands. Raises ProviderError where the answer does not say."""
    if not answer.is_success:
        raise no_result(answer, REASONS)
    body = answer.json_object()
    if id_at(body, "task_id") not in (None, asked):
        raise _unexplained(body, "an answer about another task")
    update = _update(body, asked)
    if update is not None:
        return update
    if (text_at(body, "status") or "").lower() not in FINISHED:
        raise _unexplained(body, "an answer that says nothing about the task")
    return Update(status=TaskStatus.FAILED, provider_task_id=asked,
                  error=failed(ErrorCode.PROVIDER_ERROR, error_text(body) or "finished, but without a link to the picture", "finished"))


def read_webhook(body: bytes) -> Update:
    """A webhook. Raises Unreadable for what is no JSON object, names no task or does not say how it stands."""
    try:
        decoded = decode_json(body)
    except ValueError as exc:
        raise Unreadable("The callback is not JSON.") from exc
    task_id = id_at(decoded, "task_id")
    if task_id is None:
        raise Unreadable("The callback names no task.")
    update = _update(decoded, task_id)
    if update is None:
        raise Unreadable("The callback does not say how the task stands.")
    return update


def _update(body: dict[str, Any], task_id: str) -> Update | None:
    """None where the body has neither a status nor a picture, or says that the task finished without showing a picture."""
    status = (text_at(body, "status") or "").lower()
    if status in FAILED:
        error = failed(ErrorCode.PROVIDER_ERROR, text_at(body, "message") or error_text(body), status)
        return Update(status=TaskStatus.FAILED, provider_task_id=task_id, error=error)
    if not status or status in FINISHED:
        return _finished(body, task_id) or (None if status else _running(body, task_id))
    progress = percent_at(body, "percentage", fraction=False)
    waits = status in WAITING and not progress
    return Update(status=TaskStatus.SUBMITTED if waits else TaskStatus.PROCESSING, provider_task_id=task_id, progress=progress)


def _finished(body: dict[str, Any], task_id: str) -> Update | None:
    links = [link for link in (text_at(body, "image_url"), *_listed(body)) if link and is_link(link)]
    if not links:
        return None
    pictures = tuple([Picture(url=link, expires_at=signed_until(link)) for link in dict.fromkeys(links)])
    return Update(status=TaskStatus.SUCCEEDED, provider_task_id=task_id, progress=100, pictures=pictures)


def _running(body: dict[str, Any], task_id: str) -> Update | None:
    progress = percent_at(body, "percentage", fraction=False)
    return None if progress is None else Update(status=TaskStatus.PROCESSING, provider_task_id=task_id, progress=progress)


def _listed(body: dict[str, Any]) -> list[str]:
    """`image_urls`, where a task of another kind made several."""
    links = body.get("image_urls")
    return [link for link in links[:16] if isinstance(link, str)] if isinstance(links, list) else []


def _unexplained(body: dict[str, Any], what: str) -> ProviderError:
    return ProviderError(ErrorCode.PROVIDER_ERROR, f"APIFRAME sent {what}: {error_text(body) or 'no explanation'}", fate=Fate.UNKNOWN)
