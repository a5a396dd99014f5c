"""What the person sees while the demo runs, and at its end."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from relay.cli.demo.judge import Row
from relay.cli.screen import plain, show_table

_REACHED: Final = {"queued": 5, "submitted": 20, "processing": 30, "succeeded": 85, "failed": 85}
_ARRIVED: Final = 95
_DONE: Final = 100


class View:
    """Bars on a terminal, a line for each change elsewhere."""

    def __init__(self, providers: Iterable[str]) -> None:
        console = Console()
        self._bars = Progress(
            TextColumn("{task.description:<9}"), BarColumn(), TextColumn("{task.fields[state]:<28}"), TimeElapsedColumn(), console=console,
        ) if console.is_terminal else None
        self._rows: dict[str, TaskID] = {}
        self._told: dict[str, str] = {}
        for provider in providers:
            if self._bars:
                self._rows[provider] = self._bars.add_task(provider, total=_DONE, state="")

    def live(self) -> AbstractContextManager[object]:
        """The bars are drawn while this is open."""
        return self._bars or nullcontext()

    def show_task(self, task: dict[str, Any]) -> None:
        """A task as the API shows it."""
        reached = _REACHED.get(task["status"], 0)
        if task["status"] == "processing" and task.get("progress"):
            reached += int(task["progress"] * 0.5)
        told = f" {task['progress']} %" if task["status"] == "processing" and task.get("progress") is not None else ""
        self._show(task["provider"], reached, f"{task['status']}{told}")

    def show_event(self, provider: str) -> None:
        """Its event arrived at the subscriber and was verified."""
        self._show(provider, _ARRIVED, "event verified")

    def show_picture(self, provider: str, fault: str) -> None:
        """Its image was fetched."""
        self._show(provider, _DONE, fault or "image opens")

    def _show(self, provider: str, reached: int, state: str) -> None:
        if self._told.get(provider) == state:
            return
        self._told[provider] = state
        if self._bars:
            self._bars.update(self._rows[provider], completed=reached, state=plain(state)[:28])
        else:
            click.echo(f"{provider:<9} {plain(state)}")


def show_result(rows: list[Row], stray: list[str]) -> bool:
    """The table, and on stderr what is wrong; whether all is well."""
    show_table(["provider", "result by", "seconds", "event", "image"], [
        (row.provider, row.via, "-" if row.seconds is None else f"{row.seconds:.1f}", row.event_id,
         " ".join(part for part in (row.picture.file, row.picture.looks) if part) or "-")
        for row in rows])
    faults = [f"{row.provider}: {fault}" for row in rows for fault in row.faults] + stray
    for fault in faults:
        click.echo(f"relay demo: {plain(fault)}", err=True)
    return not faults
