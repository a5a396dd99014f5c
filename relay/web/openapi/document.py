"""The whole document."""

from collections.abc import Sequence
from typing import Any, Final

from relay import __version__
from relay.web.openapi.parameter import response_headers
from relay.web.openapi.path import make_path, problem_responses
from relay.web.openapi.schema import make_schemas
from relay.web.openapi.webhook import make_webhooks
from relay.web.operation import Operation

_ABOUT: Final = """One interface to Flux image providers: submit a task, be told once it ends, by a signed webhook.

All times are RFC 3339 in UTC, ids are opaque. Unknown fields and query parameters are refused by name. What belongs to another account is
not found. Errors are RFC 9457 problems whose `code` is stable. Lists take `limit` and `cursor`, newest first.

Below `/dropin/serevix`, `/dropin/apiframe`, `/dropin/segmind`, `/dropin/kie` and `/dropin/yescale` Relay answers in the wire formats of
these providers, for apps that change only their base URL and key: their documents are the documents of those paths."""

_TAGS: Final = {
    "Tasks": "What was asked of a provider, and how it stands.",
    "Providers": "Whom Relay can ask, and which fields each model takes.",
    "Subscriptions": "Who wants to hear of what.",
    "Events": "What is told.",
    "Deliveries": "One event on its way to one subscription, attempt by attempt.",
    "Replays": "Events told once more.",
    "Callbacks": "What providers send.",
    "Images": "Pictures that Relay keeps.",
    "Keys": "Who may do what.",
    "Accounts": "To whom things belong.",
    "Operations": "For those who run the service.",
}
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer rly_…`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key, for clients that cannot send that."},
}


def make_document(operations: Sequence[Operation], server: str) -> dict[str, Any]:
    """The OpenAPI document about these operations, as plain data. `server`: the path before all paths."""
    used = {operation.tag for operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Relay", "version": __version__, "description": _ABOUT, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": server}],
        "tags": [{"name": name, "description": meaning} for name, meaning in _TAGS.items() if name in used],
        "paths": _paths(operations),
        "webhooks": make_webhooks(),
        "components": {
            "schemas": make_schemas(operations),
            "responses": problem_responses(),
            "headers": response_headers(),
            "securitySchemes": _SECURITY,
        },
    }


def _paths(operations: Sequence[Operation]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = make_path(operation)
    return paths
