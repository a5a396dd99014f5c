"""Whether a value is what a parameter allows, and what to say if not."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard, assert_never

from relay.errors import FieldProblem
from relay.ports.provider import Parameter

_MAX_INTEGER: Final = 2**63
_MAX_DEPTH: Final = 32
_NUMBER: Final = re.compile(r"\s*[+-]?\d{1,30}(\.\d{1,30})?\s*", re.ASCII)


def value_problem(parameter: Parameter, value: object) -> str | None:
    """What is wrong with a value, in words that name it and what is allowed; None if nothing is."""
    fault = _type_fault(parameter, value)
    if not fault and not parameter.advisory:
        fault = _range_fault(parameter, value)
    return f"must be {_allowed(parameter)}, not {shown(value)}" if fault else None


def field_problems(order: Mapping[str, Any], fields: Mapping[str, Parameter]) -> list[FieldProblem]:
    """What is wrong with the known fields of a request in a provider's own words, in the order of `fields`; the prompt must be there.
    null is absent; unknown fields pass."""
    given = ((name, rule, order.get(name)) for name, rule in fields.items())
    found = ((name, value_problem(rule, value)) for name, rule, value in given if value is not None)
    problems = [FieldProblem(name, message) for name, message in found if message]
    prompt = order.get("prompt")
    is_blank = prompt is None or (isinstance(prompt, str) and not prompt.strip())
    return [FieldProblem("prompt", "is required"), *problems] if is_blank else problems


def loosened(order: Mapping[str, Any], fields: Mapping[str, Parameter]) -> dict[str, Any]:
    """The order with numbers and booleans that came as text (as in a form) turned into what their fields want; text that
    spells none stays, to be found wrong."""
    return {name: _loosen(value, fields[name].type) if name in fields else value for name, value in order.items()}


def sending_problem(value: object) -> str | None:
    """What keeps any JSON value from being sent at all, whatever the field; None if nothing does."""
    layer = [value]
    for _ in range(_MAX_DEPTH):
        if not layer:
            return None
        for item in layer:
            if isinstance(item, str) and not is_clean(item):
                return "must be valid Unicode without NUL characters"
            if isinstance(item, int) and not -_MAX_INTEGER <= item < _MAX_INTEGER:
                return "must hold no integer beyond 64 bits"
        layer = [inner for item in layer for inner in _inner(item)]
    return f"must not be nested deeper than {_MAX_DEPTH} levels"


def _loosen(value: Any, wanted: str) -> Any:  # noqa: ANN401 -- any JSON
    if wanted == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower(), value)
    if isinstance(value, str) and wanted in ("integer", "number") and _NUMBER.fullmatch(value):
        number = float(value)
        return int(value) if "." not in value else number
    return value


def _inner(item: object) -> Sequence[Any]:
    if isinstance(item, Mapping):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, list | tuple) else ()


def is_clean(text: str) -> bool:
    """Neither NUL nor half of a surrogate pair, which no JSON in UTF-8 can hold."""
    try:
        text.encode()  # in one go: a picture of 20 MiB comes as text, too
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _type_fault(parameter: Parameter, value: object) -> bool:
    match parameter.type:
        case "string":
            return not isinstance(value, str)
        case "boolean":
            return not isinstance(value, bool)
        case "integer":
            return not _is_number(value) or value != int(value)
        case "number":
            return not _is_number(value)
        case _:
            assert_never(parameter.type)


def _is_number(value: object) -> TypeGuard[int | float]:
    """A number of JSON within 64 bits (so neither NaN nor infinity)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MAX_INTEGER <= value < _MAX_INTEGER


def _range_fault(parameter: Parameter, value: Any) -> bool:  # noqa: ANN401 -- what is asked depends on the type, known by now
    return (
        (parameter.enum is not None and value not in parameter.enum)
        or (parameter.minimum is not None and value < parameter.minimum)
        or (parameter.maximum is not None and value > parameter.maximum)
        or (parameter.multiple_of is not None and value % parameter.multiple_of != 0)
        or (parameter.max_length is not None and len(value) > parameter.max_length)
        or (parameter.pattern is not None and not re.fullmatch(parameter.pattern, value))
    )


def _allowed(parameter: Parameter) -> str:
    """What a parameter may be, in words: "an integer from 256 to 1440", "one of jpeg, png"."""
    if parameter.enum is not None:
        return f"one of {', '.join(str(choice) for choice in parameter.enum)}"
    words = {"integer": "an integer", "number": "a number", "string": "a string", "boolean": "true or false"}[parameter.type]
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        words += f" from {low:g} to {high:g}"
    elif low is not None or high is not None:
        words += f" of at least {low:g}" if low is not None else f" of at most {high:g}"
    if parameter.multiple_of is not None:
        words += f" that is a multiple of {parameter.multiple_of}"
    if parameter.max_length is not None:
        words += f" of at most {parameter.max_length} characters"
    if parameter.pattern is not None:
        words += f" of the form {parameter.description or parameter.pattern}"
    return words


def shown(value: object) -> str:
    """A value as an error message names it: short, text in quotes."""
    text = value if isinstance(value, str) else str(value) if not isinstance(value, int) or abs(value) < 10**30 else "so large a number"
    return repr(text[:60]) if isinstance(value, str) else text[:60]
