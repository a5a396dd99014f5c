"""`relay deliveries`."""

import click

from relay.cli.client import at, connect
from relay.cli.noun import noun
from relay.cli.screen import field, json_option, moment, page_options, show_item, show_page


@click.group("deliveries", cls=noun("dlv_"))
def command() -> None:
    """List deliveries, their attempts, and retry them.

    `relay deliveries` lists them, `relay deliveries ID` shows one.
    """


@command.command("list")
@click.option("--status", help="pending, delivered, exhausted, held or cancelled.")
@click.option("--subscription", "subscription_id", help="One subscription's only.")
@click.option("--task", "task_id", help="One task's only.")
@page_options
def list_deliveries(status: str | None, subscription_id: str | None, task_id: str | None, limit: int, cursor: str | None, *,
                    as_json: bool) -> None:
    """List deliveries, the newest first."""
    page = connect().get("deliveries", status=status, subscription_id=subscription_id, task_id=task_id, limit=limit, cursor=cursor)
    show_page(page, {
        "id": field("id"), "event": field("event_type"), "status": field("status"), "attempts": field("attempts"),
        "next attempt": moment("next_attempt_at"), "subscription": field("subscription_id"), "task": field("task_id"),
    }, as_json=as_json)


@command.command("show")
@click.argument("delivery_id")
@json_option
def show_delivery(delivery_id: str, *, as_json: bool) -> None:
    """Show one delivery."""
    show_item(connect().get(at("deliveries", delivery_id)), as_json=as_json)


@command.command("attempts")
@click.argument("delivery_id")
@json_option
def list_attempts(delivery_id: str, *, as_json: bool) -> None:
    """List the attempts of a delivery and what was answered."""
    show_page(connect().get(at("deliveries", delivery_id, "attempts")), {
        "number": field("number"), "started": moment("started_at"), "ms": field("duration_ms"), "answer": field("status_code"),
        "error": field("error"), "body": field("response_body"),
    }, as_json=as_json)


@command.command("retry")
@click.argument("delivery_id")
@json_option
def retry_delivery(delivery_id: str, *, as_json: bool) -> None:
    """Attempt a delivery now, whatever became of it."""
    show_item(connect().post(at("deliveries", delivery_id, "retry")), as_json=as_json)
