"""`relay tasks`."""

from collections.abc import Mapping

import click

from relay.cli.client import at, connect
from relay.cli.noun import noun
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
@page_options
def list_tasks(status: str | None, provider: str | None, model: str | None, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """List tasks, the newest first."""
    page = connect().get("tasks", status=status, provider=provider, model=model, limit=limit, cursor=cursor)
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
