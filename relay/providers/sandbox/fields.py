"""Checking the fields of a request against limits that are data: pure."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from relay.errors import FieldProblem
from relay.ports import Parameter
from relay.providers.sandbox.picture import is_picture, key_for
from relay.providers.sandbox.refusal import Refused, Why

PROMPT: Final = Parameter(type="string")
BOOLEAN: Final = Parameter(type="boolean")
INTEGER: Final = Parameter(type="integer")
NUMBER: Final = Parameter(type="number")
STRING: Final = Parameter(type="string")
SEED: Final = Parameter(type="integer", minimum=-2**63, maximum=2**63 - 1)
"""No document limits it; 64 bits are what others can read back."""
_LONGEST_URL: Final = 2083
_TYPES: Final[dict[str, str]] = {"integer": "an integer", "number": "a number", "string": "a string", "boolean": "a boolean"}


def check_fields(order: Mapping[str, Any], fields: Mapping[str, Parameter], *, required: Sequence[str] = ("prompt",)) -> list[FieldProblem]:
    """Everything that is wrong with the known fields of `order`, in the order of `fields`. null is absent; unknown fields pass."""
    problems = [FieldProblem(name, "is required") for name in required if is_blank(order.get(name))]
    for name, rule in fields.items():
        if order.get(name) is not None and not (name in required and is_blank(order[name])):
            message = problem_with(order[name], rule)
            if message:
                problems.append(FieldProblem(name, message))
    return problems


def refuse_if(problems: list[FieldProblem]) -> None:
    """Raises Refused if there are any."""
    if problems:
        raise Refused(Why.FIELDS, "; ".join(f"{problem.field} {problem.message}" for problem in problems), problems)


def is_blank(value: Any) -> bool:  # noqa: ANN401 -- any JSON
    return value is None or (isinstance(value, str) and not value.strip())


def problem_with(value: Any, rule: Parameter) -> str | None:  # noqa: ANN401 -- any JSON
    """What is wrong with a value, in words that follow the field's name."""
    if not _has_type(value, rule.type):
        return f"must be {_TYPES[rule.type]}"
    if isinstance(value, str):
        return _problem_with_text(value, rule)
    if rule.type == "boolean":
        return None
    return _problem_with_number(value, rule)


def url_problem(order: Mapping[str, Any], name: str) -> list[FieldProblem]:
    """A field that must be an http(s) URL, if it is there."""
    value = order.get(name)
    if value is None or (isinstance(value, str) and _is_url(value)):
        return []
    return [FieldProblem(name, "must be a valid URL")]


def picture_problem(order: Mapping[str, Any], name: str) -> list[FieldProblem]:
    """A field that must be a picture in base64, if it is there."""
    value = order.get(name)
    if not isinstance(value, str):
        return []
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return [FieldProblem(name, "must be base64")]
    return [] if is_picture(data) else [FieldProblem(name, "must be a picture")]


def whole(order: Mapping[str, Any], name: str, default: int) -> int:
    """A checked integer, which may have come as 1024.0."""
    value = order.get(name)
    return default if value is None else int(value)


def seed_of(order: Mapping[str, Any]) -> int:
    """The checked seed; if there is none, one that follows from the prompt."""
    return whole(order, "seed", int.from_bytes(key_for(order["prompt"], None)[:4], "big"))


def remembered(order: Mapping[str, Any], fields: Mapping[str, Parameter]) -> dict[str, Any]:
    """What is worth remembering of an order: its known fields, without what is large. The prompt always."""
    return {name: order[name] for name in fields if name in order and (name == "prompt" or not _is_large(order[name]))}


def _is_large(value: Any) -> bool:  # noqa: ANN401 -- any JSON
    return isinstance(value, str) and len(value) > _LONGEST_URL


def _has_type(value: Any, wanted: str) -> bool:  # noqa: ANN401 -- any JSON
    if isinstance(value, bool) or wanted == "boolean":
        return isinstance(value, bool) and wanted == "boolean"
    match wanted:
        case "integer":
            return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        case "number":
            return isinstance(value, int | float)
        case _:
            return isinstance(value, str)


def _problem_with_text(value: str, rule: Parameter) -> str | None:
    if "\0" in value:
        return "must not hold NUL"
    if rule.max_length is not None and len(value) > rule.max_length:
        return f"must be at most {rule.max_length} characters long"
    if rule.enum is not None and value not in rule.enum:
        return "must be one of " + ", ".join(rule.enum)
    if rule.pattern is not None and not re.fullmatch(rule.pattern, value):
        return f"must be {rule.description or rule.pattern}"
    return None


def _problem_with_number(value: float, rule: Parameter) -> str | None:
    if rule.minimum is not None and value < rule.minimum:
        return f"must be at least {rule.minimum:g}"
    if rule.maximum is not None and value > rule.maximum:
        return f"must be at most {rule.maximum:g}"
    if rule.multiple_of is not None and value % rule.multiple_of:
        return f"must be a multiple of {rule.multiple_of}"
    return None


def _is_url(value: str) -> bool:
    if len(value) > _LONGEST_URL or not value.isascii() or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
