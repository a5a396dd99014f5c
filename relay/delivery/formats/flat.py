"""Format `flat`: one level, for tools whose users pick fields by hand.

Every event has the same names, null where it has nothing to say, so that what a tool learned from one event fits the next; the
caller's metadata comes after them as `metadata_KEY`. What is not told of a task (a ping, a subscription that was disabled) keeps
its own words, the names on the way to them joined by `_`: `subscription_id`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from relay.delivery.formats.told import Task, Told, read_event
from relay.model import Event
from relay.ports import Message
from relay.view import to_json


def flat_message(event: Event) -> Message:
    return Message(body=to_json(flat_fields(read_event(event))))


def flat_fields(told: Told) -> dict[str, Any]:
    """The event on one level; the only values that are no scalars are lists of links."""
    head = {"id": told.id, "type": told.type, "timestamp": told.timestamp}
    task = told.task
    if task is not None:
        return head | _task_fields(task) | {f"metadata_{name}": value for name, value in task.metadata.items()}
    return head | _NO_TASK | dict(flatten(told.data)) | head


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree, each under the names that lead to it. Lists come out as JSON text."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", to_json(value).decode() if isinstance(value, list) else value


def _task_fields(task: Task) -> dict[str, Any]:
    urls, error = task.image_urls, task.error
    return {
        "task_id": task.id, "status": task.status, "provider": task.provider, "model": task.model, "prompt": task.prompt,
        "image_url": urls[0] if urls else None, "image_urls": urls,
        "error_code": error.code if error else None, "error_message": error.message if error else None,
    }


_NO_TASK: dict[str, Any] = {**dict.fromkeys(_task_fields(Task(id="", provider="", status=""))), "image_urls": []}
