"""`relay tasks`."""

from collections.abc import Mapping
from typing import Any

import click

from relay.cli.client import at, connect
from relay.cli.moment import moment_option
from relay.cli.noun import noun
from relay.cli.pairs import read_pairs
from relay.cli.screen import field, json_option, moment, page_options, plain, show_done, show_item, show_json, show_page, show_table


@click.group("tasks", cls=noun("task_"))
def command() -> None:
    """List and manage tasks.

    `relay tasks` lists them, `relay tasks ID` shows one.
    """


@command.command("list")
@click.option("--status", help="queued, submitted, processing, succeeded or failed.")
@click.option("--provider", help="One provider's only.")
@click.option("--model", help="One model's only.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Those with this metadata; may be repeated.")
@moment_option("--created-after", help="Made after then")
@moment_option("--created-before", help="Made before then")
@page_options
def list_tasks(metadata: tuple[str, ...], *, as_json: bool, **filters: Any) -> None:  # noqa: ANN401 -- as they were given
    """List tasks, the newest first."""
    wanted = {f"metadata.{key}": value for key, value in read_pairs(metadata).items()}
    page = connect().get("tasks", **filters, **wanted)
    show_page(page, {
        "id": field("id"), "provider": field("provider"), "model": field("model"), "status": _status, "via": field("via"),
        "created": moment("created_at"), "prompt": _prompt,
    }, as_json=as_json)


@command.command("show")
@click.argument("task_id")
@json_option
def show_task(task_id: str, *, as_json: bool) -> None:
    """Show one task."""
    show_item(connect().get(at("tasks", task_id)), as_json=as_json)


@command.command("timeline")
@click.argument("task_id")
@json_option
def show_timeline(task_id: str, *, as_json: bool) -> None:
    """Show everything that happened to a task, in order."""
    timeline = connect().get(at("tasks", task_id, "timeline"))
    if as_json:
        show_json(timeline)
        return
    columns = ("at", "kind", "detail", "id")
    show_table(columns, [[step.get(column) for column in columns] for step in timeline["data"]])


@command.command("cancel")
@click.argument("task_id")
@json_option
def cancel_task(task_id: str, *, as_json: bool) -> None:
    """Stop waiting for a task: it ends as failed, cancelled."""
    show_item(connect().post(at("tasks", task_id, "cancel")), as_json=as_json)


@command.command("refresh")
@click.argument("task_id")
@json_option
def refresh_task(task_id: str, *, as_json: bool) -> None:
    """Ask the provider now."""
    show_item(connect().post(at("tasks", task_id, "refresh")), as_json=as_json)


@command.command("erase")
@click.argument("task_id")
@click.confirmation_option(prompt="Erase its prompt, bodies and images for good?")
@json_option
def erase_task(task_id: str, *, as_json: bool) -> None:
    """Erase a task's prompt, bodies and images."""
    show_done(connect().delete(at("tasks", task_id)), f"{task_id} is erased", as_json=as_json)


def _status(task: Mapping[str, object]) -> object:
    error = task.get("error")
    return f"{task.get('status')}: {error.get('code')}" if isinstance(error, dict) else task.get("status")


def _prompt(task: Mapping[str, object]) -> str:
    prompt = plain(task.get("prompt"))
    return prompt if len(prompt) <= 40 else prompt[:39] + "…"
