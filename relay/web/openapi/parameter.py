"""What stands in the path, the query and the headers."""

import re
from collections.abc import Iterable
from typing import Any, Final

from relay.web.auth import ACCOUNT_HEADER
from relay.web.openapi.schema import schema_of
from relay.web.operation import Operation

_IN_PATH: Final = re.compile(r"\{(\w+)\}")
_REQUEST_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    ACCOUNT_HEADER: ("Id or name of the account to act for; needs a key with the scope admin.", {"type": "string", "minLength": 1}),
    "Idempotency-Key": (
        "The same key with the same body gives the same task, whenever it comes again; with another body it is a conflict.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"}),
    "Prefer": ("`wait=30`: hold the answer for up to so many seconds (RFC 7240). Preferences that are not known are passed over.",
               {"type": "string"}),
    "Last-Event-ID": ("The id of the last event that you have; what was committed since then comes first.", {"type": "string"}),
}
_RESPONSE_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "X-Request-ID": ("Names this request in the logs; yours, if you sent one of 8 to 64 letters, digits, `._-`.", {"type": "string"}),
    "Location": ("Where the thing is.", {"type": "string", "format": "uri-reference"}),
    "Retry-After": ("Seconds to wait before asking again.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("How to authenticate.", {"type": "string"}),
    "Preference-Applied": ("What was made of `Prefer`.", {"type": "string"}),
}
_NOT_ALWAYS: Final = frozenset({"Preference-Applied"})


def make_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        *(_path_parameter(name, is_open=operation.is_open) for name in _IN_PATH.findall(operation.path)),
        *_query_parameters(operation),
        *_header_parameters(operation),
    ]


def response_headers() -> dict[str, Any]:
    """All headers of answers, as components."""
    return {name: {"description": means, "required": name not in _NOT_ALWAYS, "schema": schema}
            for name, (means, schema) in _RESPONSE_HEADERS.items()}


def header_refs(names: Iterable[str]) -> dict[str, Any]:
    """The headers of one answer: these, and the one that each has."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", *names)}


def _path_parameter(name: str, *, is_open: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if not is_open:
        schema |= {"maxLength": 100, "pattern": "^[A-Za-z0-9_.-]{1,100}$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = operation.headers if operation.is_open else (*operation.headers, ACCOUNT_HEADER)
    return [{"name": name, "in": "header", "description": means, "schema": schema}
            for name in names for means, schema in (_REQUEST_HEADERS[name],)]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    shape = schema_of(operation.query)
    required = shape.get("required", ())
    return [_query_parameter(name, schema, is_required=name in required) for name, schema in shape.get("properties", {}).items()]


def _query_parameter(name: str, schema: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    if name == "metadata":
        return _METADATA
    schema = _without_null(schema)
    described = {"name": name, "in": "query", "required": is_required, "schema": schema}
    if words := schema.pop("description", None):
        described["description"] = words
    return described


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query string has no null: what is null in the struct is absent here."""
    if "anyOf" not in schema:
        return dict(schema)
    kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
    return dict(kinds[0]) if len(kinds) == 1 else {**schema, "anyOf": kinds}


_METADATA: Final[dict[str, Any]] = {
    "name": "metadata", "in": "query", "required": False, "style": "form", "explode": True,
    "description": "`metadata.KEY=VALUE`, any number of them: tasks whose metadata has each of these values, compared as text.",
    "schema": {"type": "object", "patternProperties": {r"^metadata\..": {"type": "string"}}, "additionalProperties": False},
    "example": {"metadata.order": "A-17"},
}
"""An exploded object: each of its properties stands in the query under its own name."""
