"""`relay deliveries`."""

from typing import Final

import click

from relay.cli.client import at, connect
from relay.cli.moment import moment_option
from relay.cli.noun import noun
from relay.cli.screen import field, json_option, moment, page_options, show_item, show_page

_FAILED: Final = "exhausted"


@click.group("deliveries", cls=noun("dlv_"))
def command() -> None:
    """List deliveries, their attempts, and retry them.

    `relay deliveries` lists them, `relay deliveries ID` shows one.
    """


def chosen_status(status: str | None, *, failed: bool) -> str | None:
    """What --status and --failed mean together."""
    if failed and status not in (None, _FAILED):
        raise click.UsageError(f"--failed is short for --status {_FAILED}; give one of them")
    return _FAILED if failed else status


@command.command("list")
@click.option("--failed", is_flag=True, help="Those that were given up: short for --status exhausted.")
@click.option("--status", help="pending, delivered, exhausted, held or cancelled.")
@click.option("--subscription", "subscription_id", help="One subscription's only.")
@click.option("--task", "task_id", help="One task's only.")
@click.option("--type", "kind", help="One event type's only, such as task.failed.")
@moment_option("--since", help="Made from then on")
@page_options
def list_deliveries(status: str | None, subscription_id: str | None, task_id: str | None, kind: str | None, since: str | None,
                    limit: int, cursor: str | None, *, failed: bool, as_json: bool) -> None:
    """List deliveries, the newest first.

    --failed are those that did not arrive and were given up: every attempt failed (`exhausted`). What failed but is still to
    be attempted is `pending`, what waits for a paused or disabled subscription `held`.
    `relay deliveries attempts ID` tells why, `relay replay` sends them once more.
    """
    page = connect().get("deliveries", status=chosen_status(status, failed=failed), subscription_id=subscription_id, task_id=task_id,
                         event_type=kind, since=since, limit=limit, cursor=cursor)
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
