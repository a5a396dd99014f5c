"""Looking on while replays run: a bar for each on a terminal, elsewhere a line whenever one has come further."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from relay.cli.client import Client, Failed, at
from relay.cli.screen import show_json

Replay = Mapping[str, Any]
"""As the API shows it."""

_PAUSE: Final = 0.5  # seconds between two looks


class _View(Protocol):
    def show(self, replay: Replay) -> None:
        """How it stands now."""
        ...


def watch(client: Client, replays: Sequence[Replay], *, aside: bool) -> list[Replay]:
    """How they stand when all have ended. Ctrl-C ends the looking alone; it gives them as they were seen last. `aside`: show it on
    stderr. Raises Failed where one waits for a subscription that is not active."""
    seen = {replay["id"]: replay for replay in replays}
    with _view(aside=aside) as view:
        try:
            while running := [replay for replay in seen.values() if replay["status"] == "running"]:
                time.sleep(_PAUSE)
                for replay in running:
                    seen[replay["id"]] = _look(client, replay)
                    view.show(seen[replay["id"]])
        except KeyboardInterrupt:
            for replay in running:
                click.echo(f"{replay['id']} goes on. {_offer(replay)}", err=True)
    return list(seen.values())


def show_replays(replays: Sequence[Replay], *, as_json: bool, as_list: bool = False) -> None:
    """What became of them."""
    if as_json:
        show_json({"data": replays} if as_list else replays[0])
        return
    for replay in replays:
        click.echo(f"{replay['id']} to {replay['subscription_id']}: {replay['status']}, {state_of(replay)} attempted")
    if not replays:
        click.echo("none")


def state_of(replay: Replay) -> str:
    """Of how many events it has attempted how many."""
    return f"{replay['done']} of {'?' if replay['total'] is None else replay['total']}"


def _look(client: Client, replay: Replay) -> Replay:
    latest: Replay = client.get(at("replays", replay["id"]))
    if latest["status"] == "running":
        subscription = client.get(at("subscriptions", replay["subscription_id"]))
        if subscription["status"] != "active":
            raise Failed(f"{replay['id']} waits: {subscription['id']} is {subscription['status']}. "
                         f"Go on: relay subscriptions resume {subscription['id']}. {_offer(replay)}")
    return latest


def _offer(replay: Replay) -> str:
    return f"Look again: relay replays watch {replay['id']}. Stop it: relay replays cancel {replay['id']}"


@contextmanager
def _view(*, aside: bool) -> Iterator[_View]:
    console = Console(stderr=aside)
    if not console.is_terminal:
        yield _Lines(aside=aside)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress)


class _Lines:
    def __init__(self, *, aside: bool) -> None:
        self._aside = aside
        self._said: dict[str, str] = {}

    def show(self, replay: Replay) -> None:
        said = f"{replay['id']} {replay['status']} {state_of(replay)}"
        if self._said.get(replay["id"]) != said:
            self._said[replay["id"]] = said
            click.echo(said, err=self._aside)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, replay: Replay) -> None:
        if replay["id"] not in self._bars:
            self._bars[replay["id"]] = self._progress.add_task(replay["id"], total=None)
        self._progress.update(self._bars[replay["id"]], total=replay["total"], completed=replay["done"])
