"""`KEY=VALUE` options."""

import json
from collections.abc import Iterable

import click


def read_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Values as text."""
    return dict(_split(pair) for pair in pairs)


def read_values(pairs: Iterable[str]) -> dict[str, object]:
    """Values as JSON where they are (`80`, `true`, `[1]`), else as text."""
    return {key: _json_or_text(value) for key, value in map(_split, pairs)}


def _split(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not key or not equals:
        raise click.UsageError(f"{pair!r} is not KEY=VALUE")
    return key, value


def _json_or_text(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value
