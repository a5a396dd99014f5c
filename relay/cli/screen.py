"""What people see: tables and facts. Programs ask for --json instead.

Much of what is shown was written by strangers (prompts, metadata, answers of subscribers): control characters are shown, not obeyed.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COLOURS: Final = {
    "succeeded": "green", "delivered": "green", "active": "green", "failed": "red", "exhausted": "red", "disabled": "red",
    "held": "yellow", "paused": "yellow", "cancelled": "yellow",
}
_UNFOLDED: Final = 1000
_Command = TypeVar("_Command", bound=Callable[..., Any])


def plain(value: object) -> str:
    """A value on one line, safe for a terminal."""
    match value:
        case None:
            return "-"
        case str():
            text = value
        case list() | tuple() if all(isinstance(part, str) for part in value):
            text = ", ".join(value)
        case dict() | list() | tuple() | bool():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table that is never cut: ids must survive being copied, so wide cells fold."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _print(table)


def show_page(page: Mapping[str, Any], columns: Mapping[str, Callable[[Mapping[str, Any]], object]], *, as_json: bool) -> None:
    """A list as the API gives it: `columns` say how each cell is had from an item."""
    if as_json:
        show_json(page)
        return
    items = page.get("data", [])
    if not items:
        click.echo("none")
        return
    show_table(list(columns), [[cell(item) for cell in columns.values()] for item in items])
    if page.get("next_cursor"):
        click.echo(f"More follow: --cursor {page['next_cursor']}")


def show_item(item: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing, field by field."""
    if as_json:
        show_json(item)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in item.items():
        table.add_row(name, _cell(value))
    _print(table)


def show_json(value: object) -> None:
    """As the API answered, for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_done(answer: object, words: str, *, as_json: bool) -> None:
    """What was done, in one line."""
    if as_json:
        show_json(answer)
    else:
        click.echo(words)


def field(name: str) -> Callable[[Mapping[str, Any]], object]:
    """A cell that is one field of its item."""
    return lambda item: item.get(name)


def moment(name: str) -> Callable[[Mapping[str, Any]], object]:
    """A cell that is a time, to the second."""
    return lambda item: str(item.get(name) or "-")[:19].replace("T", " ")


def json_option(command: _Command) -> _Command:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(command)


def page_options(command: _Command) -> _Command:
    """--limit, --cursor and --json."""
    command = click.option("--cursor", help="Where an earlier list said that more follow.")(command)
    command = click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many.")(command)
    return json_option(command)


def _print(table: Table) -> None:
    """Where it is not a terminal nothing is folded, and no line ends in blanks."""
    console = Console()
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(width=_UNFOLDED)
    with wide.capture() as capture:
        wide.print(table)
    for line in capture.get().splitlines():
        if line.strip():
            click.echo(line.rstrip())


def _cell(value: object) -> Text:
    text = plain(value)
    return Text(text, style=_COLOURS.get(text, ""))
