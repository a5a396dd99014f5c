"""What subscribers receive: one webhook for each type of event, in the `standard` format, with the Standard Webhooks headers."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from relay.model import EventType
from relay.web.openapi.schema import ref_to
from relay.web.openapi.told import DATA
from relay.web.samples import sample_event

_MADE_AT: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
_MEANS: Final = {
    EventType.TASK_SUBMITTED: "The provider accepted the task.",
    EventType.TASK_PROGRESS: "The provider told how far it is.",
    EventType.TASK_SUCCEEDED: "The pictures are there.",
    EventType.TASK_FAILED: "The task failed; `error` says why.",
    EventType.SUBSCRIPTION_DISABLED: "Another subscription was disabled.",
    EventType.SUBSCRIPTION_RECOVERED: "Another subscription takes deliveries again.",
    EventType.DELIVERY_FAILING: "A delivery to another subscription failed the fourth time in a row.",
    EventType.CREDITS_LOW: "The credits with a provider run low.",
    EventType.PING: "Somebody tries this subscription.",
}
_HEADERS: Final = (
    ("webhook-id", "The event's id, the same on every attempt: what to recognize a repeat by.", {"type": "string"}),
    ("webhook-timestamp", "When this attempt was made, in seconds since 1970.", {"type": "integer"}),
    ("webhook-signature", "`v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`; several, with spaces between, while a secret "
     "is changed.", {"type": "string"}),
    ("webhook-attempt", "1, 2, …", {"type": "integer", "minimum": 1}),
)
_ANSWERS: Final = {
    "2XX": {"description": "Taken."},
    "410": {"description": "The receiver is gone: the subscription is disabled at once."},
    "default": {"description": "Not taken: sent again on the retry schedule. `Retry-After` is obeyed."},
}


def make_webhooks() -> dict[str, Any]:
    return {kind.value: {"post": _webhook(kind)} for kind in EventType}


def _webhook(kind: EventType) -> dict[str, Any]:
    name = "".join(part.capitalize() for part in kind.replace("_", ".").split("."))
    return {
        "operationId": f"receive{name}", "tags": ["Events"], "summary": _MEANS[kind], "security": [],
        "parameters": [{"name": name, "in": "header", "required": True, "description": means, "schema": schema}
                       for name, means, schema in _HEADERS],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _body(kind), "example": _example(kind)}}},
        "responses": _ANSWERS,
    }


def _body(kind: EventType) -> dict[str, Any]:
    return {
        "type": "object", "required": ["id", "type", "timestamp", "data"],
        "properties": {
            "id": {"type": "string"}, "type": {"const": kind.value}, "timestamp": {"type": "string", "format": "date-time"},
            "data": ref_to(DATA[kind].__name__),
        },
    }


def _example(kind: EventType) -> Any:  # noqa: ANN401 -- JSON can be anything
    event = sample_event(kind, "evt_01jb2m5x8n4q7r9t3v6w0y2z5b", "", lambda _id, now: ("", now), _MADE_AT)
    return msgspec.json.decode(event.body)
