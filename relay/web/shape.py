"""Turning plain JSON and query strings into structs, and every refusal into the name of the field."""

import difflib
import enum
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from relay.errors import FieldProblem, Invalid, Malformed

_Shape = TypeVar("_Shape", bound=msgspec.Struct)
_ABOUT_A_FIELD: Final = re.compile(
    r"Object (?:contains unknown|missing required) field `(?P<name>.*?)`(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_ABOUT_A_VALUE: Final = re.compile(r"(?P<message>.*) - at `(?:key in )?\$(?P<path>.*)`", re.DOTALL)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,12}\.[0-9]{1,6}")
_METADATA: Final = "metadata."


def read_shape(value: Any, shape: type[_Shape]) -> _Shape:  # noqa: ANN401 -- JSON can be anything
    """The struct that a JSON value means. Raises Invalid, naming every field that is wrong."""
    if not isinstance(value, dict):
        raise Malformed(f"The body must be a JSON object, not {_json_name(value)}.")
    if unknown := _unknown_fields(value, shape):
        raise Invalid(errors=[*unknown, *_wrong_fields(value, shape)])
    try:
        return msgspec.convert(value, shape, strict=True)
    except msgspec.ValidationError as exc:
        raise Invalid(errors=_wrong_fields(value, shape) or [_explain(str(exc), shape)]) from exc


def read_query(pairs: Sequence[tuple[str, str]], shape: type[_Shape]) -> _Shape:
    """The struct that query parameters mean. `metadata.KEY=value` is gathered where the struct has `metadata`. Times come out in
    UTC. Raises Invalid, naming the parameter."""
    if not pairs and "metadata" not in shape.__struct_fields__:
        return cast("_Shape", _default(shape))
    given: dict[str, Any] = {}
    for name, text in pairs:
        if "\0" in text or "\0" in name:
            raise Invalid(errors=[FieldProblem(name.replace("\0", ""), "holds the character NUL")])
        if name in given:
            raise Invalid(errors=[FieldProblem(name, "is given more than once")])
        given[name] = _number_or_text(text, name, shape)
    if "metadata" in shape.__struct_fields__:
        _gather_metadata(given)
    query = read_shape(given, shape)
    return _in_utc(query)


@cache
def _default(shape: type[_Shape]) -> _Shape:
    return _in_utc(read_shape({}, shape))


def _gather_metadata(given: dict[str, Any]) -> None:
    names = [name for name in given if name.startswith(_METADATA) and name != _METADATA]
    if "metadata" in given:
        raise Invalid(errors=[FieldProblem("metadata", "is given as metadata.KEY=VALUE")])
    given["metadata"] = {name.removeprefix(_METADATA): str(given.pop(name)) for name in names}


def _number_or_text(text: str, name: str, shape: type[msgspec.Struct]) -> int | float | str:
    kinds = get_type_hints(shape).get(name, str)
    if _mentions(kinds, int) and _NUMBER.fullmatch(text):
        return int(text)
    if _mentions(kinds, float) and _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _mentions(annotation: Any, kind: type) -> bool:  # noqa: ANN401 -- an annotation has no type of its own
    return annotation is kind or any(_mentions(part, kind) for part in get_args(annotation))


def _in_utc(query: _Shape) -> _Shape:
    times = {name: value for name in query.__struct_fields__ if isinstance(value := getattr(query, name), datetime)}
    try:
        return msgspec.structs.replace(query, **{name: value.astimezone(UTC) for name, value in times.items()})
    except OverflowError as exc:
        raise Invalid(errors=[FieldProblem(name, "is out of range") for name in times]) from exc


def _unknown_fields(value: dict[str, Any], shape: type[msgspec.Struct]) -> list[FieldProblem]:
    known = shape.__struct_encode_fields__
    unknown = [name for name in value if name not in known]
    return [FieldProblem(name[:100], _unknown(name, known)) for name in unknown[:20]]


def _wrong_fields(value: dict[str, Any], shape: type[msgspec.Struct]) -> list[FieldProblem]:
    """What is wrong with each field, one by one: msgspec itself stops at the first."""
    problems = []
    for name, alone in _fields_alone(shape).items():
        try:
            msgspec.convert({name: value[name]} if name in value else {}, alone, strict=True)
        except msgspec.ValidationError as exc:
            problems.append(_explain(str(exc), shape))
    return problems


@cache
def _fields_alone(shape: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """For each field of a struct a struct of that field alone."""
    return {field.encode_name: msgspec.defstruct("Alone", [(field.encode_name, field.type, *_default_of(field))])
            for field in msgspec.structs.fields(shape)}


def _default_of(field: msgspec.structs.FieldInfo) -> tuple[object, ...]:
    return () if field.required else (None,)


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:100], known, n=1)
    return f"is not known; did you mean {near[0]}?" if near else f"is not known; known are {', '.join(known) or 'none'}"


def _explain(message: str, shape: type[msgspec.Struct]) -> FieldProblem:
    if match := _ABOUT_A_FIELD.fullmatch(message):
        name = _dotted(f"{match['path'] or ''}.{match['name']}")
        return FieldProblem(name, "is required" if "missing" in message else "is not known")
    if match := _ABOUT_A_VALUE.fullmatch(message):
        name = _dotted(match["path"])
        return FieldProblem(name, _wording(match["message"], name, shape))
    return FieldProblem("", message)


def _dotted(path: str) -> str:
    """`.events[0]` -> `events.0`; `[...]` stands for some key of a map, which its reader sees."""
    return re.sub(r"\[(\d+)\]", r".\1", path).replace("[...]", "").lstrip(".")


def _wording(message: str, name: str, shape: type[msgspec.Struct]) -> str:
    if "matching regex" in message:
        return "has the wrong form"
    if not message.startswith("Invalid enum value"):
        return message[0].lower() + message[1:].replace("`", "")
    allowed = _choices(get_type_hints(shape).get(name.split(".", maxsplit=1)[0]))
    return f"must be one of {', '.join(allowed)}" if allowed else "is not one of those allowed"


def _choices(annotation: Any) -> list[str]:  # noqa: ANN401 -- an annotation has no type of its own
    if isinstance(annotation, enum.EnumMeta):
        return [str(member.value) for member in annotation]  # type: ignore[var-annotated]
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _json_name(value: Any) -> str:  # noqa: ANN401 -- JSON can be anything
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "a number"
