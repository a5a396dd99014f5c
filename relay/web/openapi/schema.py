"""The structs as JSON Schema, and what their types cannot say."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay.web.errors import Problem
from relay.web.openapi.told import TOLD
from relay.web.operation import NoBody, NoQuery, Operation

_TEMPLATE: Final = "#/components/schemas/{name}"
_SPACE: Final = re.compile(r"\s*\n\s+")
_ALSO: Final[dict[str, dict[str, Any]]] = {
    "Wish": {"anyOf": [{"required": [name]} for name in ("url", "target_url", "targetUrl", "hookUrl", "hook_url", "callback_url")]},
}
"""Rules between fields."""


def ref_to(name: str) -> dict[str, Any]:
    return {"$ref": _TEMPLATE.format(name=name)}


def page_name(shape: type[Struct]) -> str:
    return f"{shape.__name__}Page"


def make_schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    """Every struct that some operation or webhook speaks of, and what those are made of."""
    answers = [answer for operation in operations for answer in operation.answers.values() if answer.shape]
    shapes: set[type[Struct]] = {Problem, *TOLD, *(operation.body for operation in operations)}
    shapes |= {shape for answer in answers for shape in (answer.shape, answer.or_shape) if shape}
    schemas = _components(sorted(shapes - {NoBody}, key=lambda shape: shape.__name__)) | _enums_of_queries(operations)
    pages = {page_name(answer.shape): _page(answer.shape) for answer in answers if answer.is_page and answer.shape}
    return dict(sorted({**schemas, **pages}.items()))


def schema_of(shape: type[Struct]) -> dict[str, Any]:
    """The schema of one struct; of enums in it there are only references."""
    if shape is NoQuery:
        return {}
    schema: dict[str, Any] = _components([shape])[shape.__name__]
    return schema


def _enums_of_queries(operations: Sequence[Operation]) -> dict[str, Any]:
    queries = {operation.query for operation in operations}
    found = _components(sorted(queries, key=lambda shape: shape.__name__))
    return {name: schema for name, schema in found.items() if name not in {query.__name__ for query in queries}}


def _components(shapes: Iterable[type[Struct]]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(shapes, ref_template=_TEMPLATE)
    return {name: {**_tidied(schema), **_ALSO.get(name, {})} for name, schema in components.items()}


def _tidied(schema: Any) -> Any:  # noqa: ANN401 -- JSON can be anything
    """Docstrings on one line, the type of enums said, nothing said that goes without saying."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidied(value) for name, value in schema.items() if (name, value) not in (("required", []), ("default", None))}
    if isinstance(tidied.get("description"), str):
        tidied["description"] = _SPACE.sub(" ", tidied["description"])
    if all(isinstance(value, str) for value in tidied.get("enum", [0])):
        tidied["type"] = "string"
    return tidied


def _page(shape: type[Struct]) -> dict[str, Any]:
    return {
        "title": page_name(shape), "description": "A stretch of a list, newest first.", "type": "object",
        "required": ["data", "next_cursor"],
        "properties": {
            "data": {"type": "array", "items": ref_to(shape.__name__)},
            "next_cursor": {"description": "The `cursor` of the next page; null at the end.", "type": ["string", "null"]},
        },
    }
