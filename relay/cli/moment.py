"""Options that take a moment: how long ago, or a time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from relay.settings.values import read_duration

_Command = TypeVar("_Command", bound=Callable[..., Any])


def moment_option(name: str, *, help: str) -> Callable[[_Command], _Command]:  # noqa: A002 -- click's own word
    """An option that comes out as a time as the API takes it."""
    return click.option(name, metavar="WHEN", callback=_read, help=f"{help}: 2h ago, or a time such as 2026-01-31T12:00:00Z.")


def _read(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None or _is_time(value):
        return value
    try:
        return (datetime.now(UTC) - timedelta(seconds=read_duration(value))).isoformat()
    except ValueError:
        raise click.BadParameter("must be how long ago, such as 2h or 30d, or a time such as 2026-01-31T12:00:00Z") from None


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
