"""Watched tasks: the caller's app submits them itself, Relay takes the callback, or polls, and tells everybody."""

from starlette.responses import Response

from relay.errors import ProviderNotConfigured, UnknownProvider
from relay.model import Scope
from relay.ports import WatchRequest
from relay.web.api.tasks import show
from relay.web.fields import check_metadata, check_url, check_visible
from relay.web.operation import Answer, Call, NoQuery, Operation, answer_json
from relay.web.shapes import WatchedTask


async def watch_task(call: Call[NoQuery, WatchRequest]) -> Response:
    asked = call.body
    check_metadata(asked.metadata)
    check_visible(asked.callback_secret, "callback_secret", 256)
    check_visible(asked.provider_task_id, "provider_task_id", 256)
    check_url(asked.callback_url, call.web.policy, "callback_url")
    submitted = await call.web.tasks.watch(call.caller, asked)
    target = submitted.target
    is_echoed = target is not None and call.web.providers[submitted.task.provider].echoes_secret
    answer = {
        **show(call, submitted.task),
        "provider_callback_url": target.url if target else None,
        "provider_callback_secret": target.secret if target and is_echoed else None,
    }
    if submitted.callback_signing_secret:
        answer["callback_signing_secret"] = submitted.callback_signing_secret
    return answer_json(answer, 201, {"location": call.web.seen_from_outside(f"/api/v1/tasks/{submitted.task.id}")})


OPERATIONS = (
    Operation(
        method="POST", path="/api/v1/tasks/watch", id="watchTask", tag="Tasks", summary="Watch a task that your app submits",
        handle=watch_task,
        description="Give `provider_callback_url` (and `provider_callback_secret`, where it is not null) to the provider in your own "
                    "submit. With `provider_task_id` Relay also polls.",
        needs=Scope.SUBMIT, body=WatchRequest, problems=(UnknownProvider, ProviderNotConfigured),
        example={"provider": "apiframe", "metadata": {"order": "A-17"}},
        answers={201: Answer(means="The task that stands for it.", shape=WatchedTask, headers=("Location",))},
    ),
)
