"""Checks of single fields that types cannot express. Each raises Invalid, naming the field and what is allowed."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from relay.errors import FieldProblem, Invalid
from relay.net.guard import Policy, problem_with_url

_MOST_METADATA: Final = 50
_LONGEST_NAME: Final = 64
_LONGEST_VALUE: Final = 500
_LONGEST_URL: Final = 2048
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")


def refuse(field: str, message: str) -> Invalid:
    return Invalid(errors=[FieldProblem(field, message)])


def check_metadata(metadata: Mapping[str, Any] | None, field: str = "metadata") -> None:
    """A flat object: at most 50 names of 1 to 64 characters; strings of at most 500 characters, numbers, booleans."""
    if metadata is None:
        return
    if len(metadata) > _MOST_METADATA:
        raise refuse(field, f"has {len(metadata)} keys; at most {_MOST_METADATA} are allowed")
    problems = [FieldProblem(f"{field}.{name[:_LONGEST_NAME]}", problem)
                for name, value in metadata.items() if (problem := _metadata_problem(name, value))]
    if problems:
        raise Invalid(errors=problems)


def _metadata_problem(name: str, value: object) -> str | None:
    if not 1 <= len(name) <= _LONGEST_NAME:
        return f"its name must have 1 to {_LONGEST_NAME} characters"
    if isinstance(value, str):
        return f"must have at most {_LONGEST_VALUE} characters" if len(value) > _LONGEST_VALUE else None
    return None if isinstance(value, int | float) else "must be a string, a number or a boolean"


def check_url(url: str | None, policy: Policy, field: str) -> None:
    """An address that we may be asked to send to."""
    if url is None:
        return
    problem = f"must have at most {_LONGEST_URL} characters" if len(url) > _LONGEST_URL else problem_with_url(url, policy)
    if problem:
        raise refuse(field, problem)


def check_visible(text: str | None, field: str, longest: int) -> None:
    """1 to `longest` visible ASCII characters: what stands in a header must survive it."""
    if text is not None and not (len(text) <= longest and _VISIBLE.fullmatch(text)):
        raise refuse(field, f"must be 1 to {longest} visible ASCII characters, without spaces")


def check_printable(text: str | None, field: str, longest: int) -> None:
    """1 to `longest` printable ASCII characters: what a header of the request may hold."""
    if text is not None and not (len(text) <= longest and _PRINTABLE.fullmatch(text)):
        raise refuse(field, f"must be 1 to {longest} printable ASCII characters")


def check_providers(names: Iterable[str] | None, known: Iterable[str], field: str = "providers") -> None:
    """Names of providers that exist here."""
    known = sorted(known)
    for name in names or ():
        if name not in known:
            raise refuse(field, f"{name[:100]!r} is not a provider; known are {', '.join(known)}")
