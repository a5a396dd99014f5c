"""Format `template`: a JSON body that the owner of the subscription wrote, with `{{ path }}` where something of the event belongs.

A path is names and positions joined by dots, followed from the event as format `standard` sends it: `id`, `data.task.prompt`,
`data.task.images.0.url`. What stands in `data` may be named without it (`task.prompt`), and so may the fields of format `flat`
(`image_url`, `metadata_order`). There is nothing else: no conditions, no loops, no functions.

Only strings are filled in, never the names of fields, and what was filled in is not looked at again: so whatever a prompt holds, the
body is JSON of the shape that its owner wrote. A string that is one placeholder becomes the value itself: a number, a list, null where
the path leads nowhere. Inside a longer string a text stands as it is, nothing as nothing, all else as its JSON.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from relay.delivery.formats.flat import flat_fields
from relay.delivery.formats.told import read_event
from relay.errors import Unformattable
from relay.model import Event
from relay.ports import Message
from relay.ports.formats import Json
from relay.view import to_json

LARGEST_TEMPLATE_BYTES: Final = 16 * 1024
LARGEST_BODY_BYTES: Final = 1024 * 1024
_DEEPEST: Final = 32
_PLACEHOLDER: Final = re.compile(r"\{\{([^{}]*)\}\}")
_PATH: Final = re.compile(r"[^\s.#/^!>&|()'\"=](?:[^|()'\"=]*[^\s.|()'\"=])?")


def template_message(event: Event, template: Json) -> Message:
    """`template` as `read_template` gave it. Raises Unformattable."""
    told = read_event(event)
    values = {**flat_fields(told), **told.data, "id": told.id, "type": told.type, "timestamp": told.timestamp, "data": told.data}
    body = to_json(_Filling(values).fill(template))
    if len(body) > LARGEST_BODY_BYTES:
        raise _too_large()
    return Message(body=body)


def read_template(template: Json) -> Json:
    """A template as it is kept: an object or array, or a text that holds one. Raises ValueError, in words for its owner."""
    template = _parsed(template) if isinstance(template, str) else template
    has_parts = isinstance(template, dict | list)
    if not has_parts:
        raise ValueError("must be a JSON object or array, or a text that holds one")
    for text, is_name in _texts(template):
        _check_text(text, is_name=is_name)
    size = len(to_json(template))
    if size > LARGEST_TEMPLATE_BYTES:
        raise ValueError(f"has {size} bytes of JSON; at most {LARGEST_TEMPLATE_BYTES} are allowed")
    return template


class _Filling:
    """Fills in what one event says, as much as a body may hold: a short template can ask for a long prompt very often."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._left = LARGEST_BODY_BYTES
        self._json = functools.cache(lambda path: to_json(_follow(values, path)).decode())

    def fill(self, part: Json) -> Json:
        if isinstance(part, dict):
            return {name: self.fill(value) for name, value in part.items()}
        if isinstance(part, list):
            return [self.fill(value) for value in part]
        return self._fill_text(part) if isinstance(part, str) else part

    def _fill_text(self, text: str) -> Json:
        whole = _PLACEHOLDER.fullmatch(text)
        if whole:
            return self._value_of(whole[1].strip())
        return _PLACEHOLDER.sub(lambda found: self._as_text(found[1].strip()), text)

    def _as_text(self, path: str) -> str:
        value = self._value_of(path)
        if isinstance(value, str):
            return value
        return "" if value is None else self._json(path)

    def _value_of(self, path: str) -> Json:
        self._left -= len(self._json(path))
        if self._left < 0:
            raise _too_large()
        return _follow(self._values, path)


def _follow(value: Json, path: str) -> Json:
    """Where the path leads, or None. A name that has dots in it is found where it ends the path."""
    if isinstance(value, dict) and path in value:
        return value[path]
    name, has_more, rest = path.partition(".")
    if isinstance(value, dict):
        found = value.get(name)
    elif isinstance(value, list) and name.isdecimal() and int(name[:9]) < len(value):
        found = value[int(name[:9])]
    else:
        return None
    return _follow(found, rest) if has_more else found


def _parsed(text: str) -> Json:
    if len(text) > LARGEST_TEMPLATE_BYTES:
        raise ValueError(f"has {len(text)} characters; at most {LARGEST_TEMPLATE_BYTES} are allowed")
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"is not JSON: {exc}. Put placeholders in quotes: one that fills a string becomes the value itself") from exc


def _texts(part: Json, depth: int = 0) -> Iterator[tuple[str, bool]]:
    """Every string in it, and whether it is the name of a field. Raises ValueError."""
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} levels deep")
    if isinstance(part, str):
        yield part, False
    elif isinstance(part, dict):
        yield from ((name, True) for name in part)
    for child in _children(part):
        yield from _texts(child, depth + 1)


def _children(part: Json) -> list[Json]:
    if isinstance(part, dict):
        return list(part.values())
    return part if isinstance(part, list) else []


def _check_text(text: str, *, is_name: bool) -> None:
    if "\0" in text:
        raise ValueError("holds the character NUL")
    if is_name and "{{" in text:
        raise ValueError(f"has a placeholder in the name of a field: {text[:100]!r}; only values are filled in")
    for path in _PLACEHOLDER.findall(text):
        if not _PATH.fullmatch(path.strip()):
            raise ValueError(f"has a placeholder that is no path: {path[:100]!r}; paths are like data.task.prompt")
    if "{{" in _PLACEHOLDER.sub("", text):
        raise ValueError(f"has a placeholder that does not end: {text[:100]!r}")


def _too_large() -> Unformattable:
    return Unformattable(f"the body made from the template would have more than {LARGEST_BODY_BYTES} bytes")
