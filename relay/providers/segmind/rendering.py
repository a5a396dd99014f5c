"""How Segmind tells a task and a refusal: pure. Its readers are subscribers of the format `provider`, apps that ask Relay instead of
Segmind, and those of the sandbox.

Version 1 has no words for a result, its answer is the bare picture; so what is told of any task has the shape of version 2.
406 stands for an empty account, another content type and a wrong field, and only its text tells which: hence what is said in front of
words that came from elsewhere.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from relay.model import Task, TaskStatus
from relay.providers.refusal import Refused, Why
from relay.providers.segmind import wire

STATUS_WORDS: Final = {
    TaskStatus.QUEUED: "QUEUED", TaskStatus.SUBMITTED: "QUEUED", TaskStatus.PROCESSING: "PROCESSING",
    TaskStatus.SUCCEEDED: "COMPLETED", TaskStatus.FAILED: "FAILED",
}
_STATUSES: Final = {
    Why.KEY: 401, Why.CREDITS: 406, Why.RATE: 429, Why.FIELDS: 406, Why.BODY: 400, Why.MEDIA: 406, Why.LARGE: 413, Why.LATE: 408,
    Why.PATH: 404, Why.METHOD: 405, Why.MODERATED: 406, Why.FAILED: 500, Why.BROKEN: 500, Why.MISSING: 404, Why.CONFLICT: 409,
    Why.BUSY: 503, Why.OVERRUN: 504, Why.UNKNOWN: 500,
}
_WORDS: Final = {
    Why.CREDITS: "Not enough credits",
    Why.MEDIA: "Invalid content type",
    Why.MODERATED: "Invalid prompt: NSFW content detected",
    Why.FAILED: "Server had some issue with processing",
}
_MARKS: Final = {  # the word that makes a text plain, and what is put in front of one without it
    Why.FIELDS: ("invalid", "Invalid parameter: "), Why.MODERATED: ("invalid prompt", "Invalid prompt, moderated: "),
    Why.CREDITS: ("credit", "Not enough credits: "),
}
_METHOD_PAGE: Final = (b"<!doctype html>\n<html><head><title>405 Method Not Allowed</title></head>"
                       b"<body><h1>Method Not Allowed</h1></body></html>\n")


class Refusal(NamedTuple):
    """An answer that says no."""

    status: int
    body: bytes
    media_type: str
    headers: dict[str, str]


def refusal_of(refused: Refused) -> Refusal:
    """A task that failed at once says why in its own words. One of the errors is no JSON."""
    status = _STATUSES[refused.why]
    if refused.why is Why.METHOD:
        return Refusal(status, _METHOD_PAGE, "text/html", {"allow": "POST"})
    text = _words(refused)
    if refused.why is Why.KEY:
        return _json(status, {"error": "unauthorized", "error_description": text, "status_code": status})
    return _json(status, {"error": text}, {wire.CREDITS_HEADER: "0"} if refused.why is Why.CREDITS else {})


def result_of(task: Task, urls: Sequence[str], *, request_id: str) -> wire.Result:
    """The whole result. `urls`: where its pictures open, in order."""
    return wire.Result(
        request_id=request_id, status=STATUS_WORDS[task.status], output=urls[0] if urls else None, error=error_of(task),
        metrics=metrics_of(task) or None,
    )


class Links(NamedTuple):
    """Where a request of version 2 can be asked about."""

    poll_url: str
    status_url: str
    response_url: str


def queued(request_id: str, links: Links) -> wire.Result:
    """The answer to a submission; it always says QUEUED."""
    return wire.Result(request_id=request_id, status=STATUS_WORDS[TaskStatus.QUEUED], **links._asdict())


def status_of(task: Task, links: Links) -> wire.Result:
    """How it stands, without the result."""
    where = {} if task.status.is_final else {"status_url": links.status_url, "response_url": links.response_url}
    return wire.Result(
        request_id=task.id, status=STATUS_WORDS[task.status], error=error_of(task), metrics=metrics_of(task), **where)


def headers_of(task: Task, credits_left: float | None) -> dict[str, str]:
    """What goes along with a picture; what is not known is left out."""
    metrics, seed = metrics_of(task), task.input.get("seed")
    headers = {
        wire.REQUEST_ID_HEADER: task.id,
        wire.COST_HEADER: None if task.cost is None else f"{task.cost:g}",
        wire.CREDITS_HEADER: None if credits_left is None else f"{credits_left:.2f}",
        wire.TIME_HEADER: f"{metrics['inference_time']:.3f}" if "inference_time" in metrics else None,
        wire.SEED_HEADER: None if seed is None else str(seed),
    }
    return {name: value for name, value in headers.items() if value is not None}


def error_of(task: Task) -> str | None:
    """What went wrong, if it did."""
    return task.error.message if task.status is TaskStatus.FAILED and task.error else None


def metrics_of(task: Task) -> dict[str, float]:
    """What is known of times, in seconds, and of the price. What failed cost nothing, so it names none."""
    metrics = {} if task.cost is None or task.status is TaskStatus.FAILED else {"cost": task.cost}
    for name, start, end in (
        ("queue_time", task.created_at, task.submitted_at),
        ("inference_time", task.submitted_at, task.completed_at),
        ("total_time", task.submitted_at and task.created_at, task.completed_at),
    ):
        if start and end:
            metrics[name] = _seconds(start, end)
    return metrics


def _seconds(start: datetime, end: datetime) -> float:
    return round(max(0.0, (end - start).total_seconds()), 3)


def _json(status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> Refusal:
    return Refusal(status, msgspec.json.encode(body), "application/json", headers or {})


def _words(refused: Refused) -> str:
    fields = "; ".join(f"{problem.field} {problem.message}" for problem in refused.problems)
    text = refused.error.message if refused.error else fields or _WORDS.get(refused.why, refused.message)
    mark, lead = _MARKS.get(refused.why, ("", ""))
    return text if mark in text.lower() else f"{lead}{text}"
