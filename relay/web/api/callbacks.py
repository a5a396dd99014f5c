"""The callbacks that came, as they came, secrets redacted."""

from starlette.responses import Response

from relay.model import Scope, Verdict
from relay.ports import CallbackFilter
from relay.web.listing import ListQuery, Text
from relay.web.operation import Answer, Call, NoBody, Operation, answer_json
from relay.web.shapes import Callback, callback_view, page_of


class CallbackQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All given fields must match."""

    task_id: Text | None = None
    verdict: Verdict | None = None


async def list_callbacks(call: Call[CallbackQuery, NoBody]) -> Response:
    asked = call.query
    which = CallbackFilter(task_id=asked.task_id, verdict=asked.verdict)
    page = await call.web.store.callbacks(call.account_id, which, limit=asked.limit, cursor=asked.cursor)
    return answer_json(page_of(page, callback_view))


OPERATIONS = (
    Operation(
        method="GET", path="/api/v1/callbacks", id="listCallbacks", tag="Callbacks", summary="Callbacks that came", handle=list_callbacks,
        description="Headers and body as the provider sent them, secrets redacted, and what became of each.",
        needs=Scope.READ, query=CallbackQuery, answers={200: Answer(means="Callbacks, newest first.", shape=Callback, is_page=True)},
    ),
)
