"""Tasks: submit one, look at it, wait for it, cancel, ask the provider, erase.

The body is believed only as far as it is read here and by the provider's own checks. What it is compared with when an
Idempotency-Key comes again is the SHA-256 of its JSON with sorted keys: the order of fields and spaces do not matter.
"""

import hashlib
from typing import Any, Final

import msgspec
from msgspec import field
from starlette.responses import Response

from relay.errors import Conflict, NotFound, ProviderNotConfigured, Unavailable, UnknownProvider, Unsupported
from relay.model import Scope, Task, TaskStatus
from relay.ports import TaskFilter, TaskRequest
from relay.view import task_view
from relay.web import shapes
from relay.web.body import MEBIBYTE
from relay.web.fields import check_metadata, check_printable, check_url, check_visible
from relay.web.listing import ListQuery, Text, When
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.patience import Patience, WaitQuery, patience_of

_KEY_HEADER: Final = "Idempotency-Key"
_MAX_BODY: Final = 32 * MEBIBYTE


class TaskQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`metadata.KEY=VALUE`: values are compared as text. `created_after` and `created_before` do not include their moment."""

    status: TaskStatus | None = None
    provider: Text | None = None
    model: Text | None = None
    created_after: When | None = None
    created_before: When | None = None
    metadata: dict[str, str] = field(default_factory=dict)


async def submit_task(call: Call[WaitQuery, TaskRequest]) -> Response:
    patience = patience_of(call)
    key = call.request.headers.get(_KEY_HEADER)
    check_printable(key, _KEY_HEADER, 255)
    check_metadata(call.body.metadata)
    check_visible(call.body.callback_secret, "callback_secret", 256)
    check_url(call.body.callback_url, call.web.policy, "callback_url")
    submitted = await call.web.tasks.submit(call.caller, call.body, idempotency_key=key, fingerprint=_fingerprint(call.raw) if key else "")
    task = await _wait(call, submitted.task, patience)
    is_over = patience.seconds > 0 and task.status.is_final
    answer = show(call, task)
    if submitted.callback_signing_secret:
        answer["callback_signing_secret"] = submitted.callback_signing_secret
    headers = {"location": call.web.seen_from_outside(f"/api/v1/tasks/{task.id}"), **patience.headers}
    return answer_json(answer, 200 if is_over or not submitted.created else 202, headers)


async def show_task(call: Call[WaitQuery, NoBody]) -> Response:
    patience = patience_of(call)
    task = await call.web.tasks.wait(call.account_id, call.id_of("task_id"), patience.seconds)
    return answer_json(show(call, task), headers=patience.headers)


async def list_tasks(call: Call[TaskQuery, NoBody]) -> Response:
    asked = call.query
    which = TaskFilter(status=asked.status, provider=asked.provider, model=asked.model, created_after=asked.created_after,
                       created_before=asked.created_before, metadata=asked.metadata)
    page = await call.web.store.tasks(call.account_id, which, limit=asked.limit, cursor=asked.cursor)
    return answer_json(shapes.page_of(page, lambda task: show(call, task)))


async def cancel_task(call: Call[NoQuery, NoBody]) -> Response:
    return answer_json(show(call, await call.web.tasks.cancel(call.account_id, call.id_of("task_id"))))


async def refresh_task(call: Call[NoQuery, NoBody]) -> Response:
    return answer_json(show(call, await call.web.tasks.refresh(call.account_id, call.id_of("task_id"))))


async def erase_task(call: Call[NoQuery, NoBody]) -> Response:
    await call.web.tasks.erase(call.account_id, call.id_of("task_id"))
    return answer_json(shapes.Empty())


def show(call: Call[Any, Any], task: Task) -> dict[str, Any]:
    """The task with links that are fresh now."""
    return task_view(task, call.web.link, call.web.clock())


async def _wait(call: Call[Any, Any], task: Task, patience: Patience) -> Task:
    if task.status.is_final or not patience.seconds:
        return task
    return await call.web.tasks.wait(call.account_id, task.id, patience.seconds)


def _fingerprint(raw: Any) -> str:  # noqa: ANN401 -- JSON can be anything
    return hashlib.sha256(msgspec.json.encode(raw, order="sorted")).hexdigest()


_EXAMPLE: Final = {"provider": "apiframe", "prompt": "a lighthouse at dusk", "width": 1024, "height": 768, "metadata": {"order": "A-17"}}
_WAITING: Final = "With `Prefer: wait=30` or `?wait=30` (seconds, cut to 60) the answer is held until the task ends"

OPERATIONS = (
    Operation(
        method="POST", path="/api/v1/tasks", id="submitTask", tag="Tasks", summary="Make an image", handle=submit_task,
        description="Recorded durably, then sent to the provider within its limits. A field that the provider or model cannot express is "
                    "refused by name, never dropped. The same Idempotency-Key with the same body gives the same task (200). "
                    f"{_WAITING}: 200 if it ended in time, else 202.",
        needs=Scope.SUBMIT, query=WaitQuery, body=TaskRequest, max_body_bytes=_MAX_BODY, headers=(_KEY_HEADER, "Prefer"),
        problems=(Conflict, Unsupported, UnknownProvider, ProviderNotConfigured), example=_EXAMPLE,
        answers={
            202: Answer(means="Recorded; it goes on in the background.", shape=shapes.NewTask, headers=("Location", "Preference-Applied")),
            200: Answer(means="It ended while you waited, or the key came again.", shape=shapes.NewTask,
                        headers=("Location", "Preference-Applied")),
        },
    ),
    Operation(
        method="GET", path="/api/v1/tasks", id="listTasks", tag="Tasks", summary="Tasks", handle=list_tasks,
        description="`metadata.KEY=VALUE` narrows the list to tasks with that value.", needs=Scope.READ, query=TaskQuery,
        answers={200: Answer(means="Tasks, newest first.", shape=shapes.Task, is_page=True)},
    ),
    Operation(
        method="GET", path="/api/v1/tasks/{task_id}", id="showTask", tag="Tasks", summary="How a task stands", handle=show_task,
        description=f"{_WAITING}, or given as it stands when the time is over.", needs=Scope.READ, query=WaitQuery, headers=("Prefer",),
        problems=(NotFound,),
        answers={200: Answer(means="The task, with fresh links.", shape=shapes.Task, headers=("Preference-Applied",))},
    ),
    Operation(
        method="DELETE", path="/api/v1/tasks/{task_id}", id="eraseTask", tag="Tasks", summary="Erase a task", handle=erase_task,
        description="Prompt, input, bodies and pictures are gone; counts stay. A task that has not ended is cancelled first.",
        needs=Scope.SUBMIT, problems=(NotFound,), answers={200: Answer(means="Done.", shape=shapes.Empty)},
    ),
    Operation(
        method="POST", path="/api/v1/tasks/{task_id}/cancel", id="cancelTask", tag="Tasks", summary="Stop waiting", handle=cancel_task,
        description="It ends as failed, cancelled. The provider may still work, and bill; what it sends later is recorded as late.",
        needs=Scope.SUBMIT, problems=(NotFound, Conflict), answers={200: Answer(means="The task.", shape=shapes.Task)},
    ),
    Operation(
        method="POST", path="/api/v1/tasks/{task_id}/refresh", id="refreshTask", tag="Tasks", summary="Ask the provider now",
        handle=refresh_task, needs=Scope.SUBMIT, problems=(NotFound, Conflict, Unavailable),
        answers={200: Answer(means="The task as the provider says it stands.", shape=shapes.Task)},
    ),
)
