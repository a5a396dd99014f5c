"""Statements with named parameters, as the server wants them: numbered; and the one thing that its text cannot hold.

PostgreSQL has no NUL in its text, and what providers and receivers say is anything. So a NUL is written as two characters, and the first
of these as two as well. Almost nothing has either, so what is read is looked through and seldom made anew.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from relay.stores.row import Parameters, Row

_NAME: Final = re.compile(r":([a-z_]+)")
_MARK: Final = "\x1a"


@functools.lru_cache(maxsize=1024)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """With $1, $2, … and the names that they stand for."""
    names = tuple(dict.fromkeys(_NAME.findall(sql)))
    places = {name: f"${number}" for number, name in enumerate(names, start=1)}
    return _NAME.sub(lambda found: places[found[1]], sql), names


def arguments(names: Sequence[str], parameters: Parameters) -> list[Any]:
    return [_written(parameters[name]) for name in names]


def columns(names: Sequence[str], rows: Sequence[Parameters]) -> list[Any]:
    """Each name's values in all rows."""
    return [_all_written([row[name] for row in rows]) for name in names]


def readable(records: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows with their text as it was."""
    return [_unmarked(record) if _is_odd(record.values()) else record for record in records]


def _written(value: Any) -> Any:  # noqa: ANN401 -- whatever a column takes
    if isinstance(value, str):
        return escaped(value)
    return _all_written(value) if isinstance(value, list) else value


def _all_written(values: list[Any]) -> list[Any]:
    """Looked through as one text: there may be thousands, and hardly ever one that is odd."""
    if not _is_odd(values):
        return values
    return [escaped(value) if isinstance(value, str) else value for value in values]


def _is_odd(values: Iterable[Any]) -> bool:
    text = "".join([value for value in values if type(value) is str])
    return "\0" in text or _MARK in text


def escaped(text: str) -> str:
    """As it is written down."""
    if "\0" not in text and _MARK not in text:
        return text
    return text.replace(_MARK, _MARK + "1").replace("\0", _MARK + "0")


def _unmarked(record: Mapping[str, Any]) -> Row:
    return {name: value.replace(_MARK + "0", "\0").replace(_MARK + "1", _MARK) if isinstance(value, str) else value
            for name, value in record.items()}
