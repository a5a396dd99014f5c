"""`relay events`."""

import click

from relay.cli.client import at, connect
from relay.cli.noun import noun
from relay.cli.screen import field, json_option, moment, page_options, show_item, show_json, show_page


@click.group("events", cls=noun("evt_"))
def command() -> None:
    """List events, and deliver one again.

    `relay events` lists them, `relay events ID` shows one as its subscribers receive it.
    """


@command.command("list")
@click.option("--type", "kind", help="One type only, such as task.failed.")
@click.option("--task", "task_id", help="One task's only.")
@page_options
def list_events(kind: str | None, task_id: str | None, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """List events, the newest first."""
    page = connect().get("events", type=kind, task_id=task_id, limit=limit, cursor=cursor)
    show_page(page, {
        "id": field("id"), "type": field("type"), "made": moment("timestamp"), "task": field("task_id"),
    }, as_json=as_json)


@command.command("show")
@click.argument("event_id")
@json_option
def show_event(event_id: str, *, as_json: bool) -> None:  # noqa: ARG001 -- an event is shown as JSON either way
    """Show one event as its subscribers receive it."""
    show_json(connect().get(at("events", event_id)))


@command.command("deliver")
@click.argument("event_id")
@click.argument("subscription_id")
@json_option
def deliver_event(event_id: str, subscription_id: str, *, as_json: bool) -> None:
    """Deliver an event to a subscription, even if it had it."""
    show_item(connect().post(at("events", event_id, "deliver"), {"subscription_id": subscription_id}), as_json=as_json)
