"""`relay subscriptions`."""

from typing import Any, TextIO

import click

from relay.cli.client import at, connect
from relay.cli.noun import noun
from relay.cli.pairs import read_pairs
from relay.cli.screen import field, json_option, page_options, show_done, show_item, show_page


@click.group("subscriptions", cls=noun("sub_"))
def command() -> None:
    """List and manage subscriptions.

    `relay subscriptions` lists them, `relay subscriptions ID` shows one.
    """


@command.command("list")
@click.option("--url", help="Those of one URL only.")
@click.option("--task", "task_id", help="Those of one task's callback_url.")
@page_options
def list_subscriptions(url: str | None, task_id: str | None, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """List subscriptions, the newest first."""
    page = connect().get("subscriptions", url=url, task_id=task_id, limit=limit, cursor=cursor)
    show_page(page, {
        "id": field("id"), "url": field("url"), "events": field("events"), "format": field("format"), "status": field("status"),
    }, as_json=as_json)


@command.command("show")
@click.argument("subscription_id")
@json_option
def show_subscription(subscription_id: str, *, as_json: bool) -> None:
    """Show one subscription."""
    show_item(connect().get(at("subscriptions", subscription_id)), as_json=as_json)


@command.command("add")
@click.argument("url")
@click.option("--event", "events", multiple=True,
              help="An event type or a pattern such as task.*; may be repeated.  [default: task.succeeded, task.failed]")
@click.option("--provider", "providers", multiple=True, help="Only this provider's tasks; may be repeated.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Only tasks with this metadata; may be repeated.")
@click.option("--format", "form", help="standard, flat, cloudevents, slack, discord, ifttt, provider or template.")
@click.option("--template", type=click.File(encoding="utf-8"), help="A file with the JSON body to fill in; - is standard input.")
@click.option("--description", help="For people.")
@json_option
def add_subscription(url: str, events: tuple[str, ...], providers: tuple[str, ...], metadata: tuple[str, ...], form: str | None,
                     template: TextIO | None, description: str | None, *, as_json: bool) -> None:
    """Subscribe a URL; its signing secret is in the answer."""
    body: dict[str, Any] = {
        "url": url, "events": list(events) or None, "providers": list(providers) or None, "metadata": read_pairs(metadata) or None,
        "format": form or ("template" if template else None), "template": template.read() if template else None,
        "description": description,
    }
    show_item(connect().post("subscriptions", {name: value for name, value in body.items() if value is not None}), as_json=as_json)


@command.command("rm")
@click.argument("subscription_id")
@json_option
def remove_subscription(subscription_id: str, *, as_json: bool) -> None:
    """Delete a subscription and cancel its open deliveries."""
    show_done(connect().delete(at("subscriptions", subscription_id)), f"{subscription_id} is deleted", as_json=as_json)


@command.command("test")
@click.argument("subscription_id")
@click.option("--type", "kind", help="Send a sample of this type instead of ping.")
@json_option
def try_subscription(subscription_id: str, kind: str | None, *, as_json: bool) -> None:
    """Send a ping to a subscription."""
    show_item(connect().post(at("subscriptions", subscription_id, "test"), {"type": kind} if kind else None), as_json=as_json)


@command.command("secret")
@click.argument("subscription_id")
@json_option
def show_secret(subscription_id: str, *, as_json: bool) -> None:
    """Print the signing secret."""
    answer = connect().get(at("subscriptions", subscription_id, "secret"))
    show_done(answer, answer.get("secret"), as_json=as_json)


@command.command("rotate")
@click.argument("subscription_id")
@json_option
def rotate_secret(subscription_id: str, *, as_json: bool) -> None:
    """Make a new signing secret and print it; the old one signs too for 24 hours."""
    answer = connect().post(at("subscriptions", subscription_id, "rotate-secret"))
    show_done(answer, answer.get("secret"), as_json=as_json)


@command.command("pause")
@click.argument("subscription_id")
@json_option
def pause_subscription(subscription_id: str, *, as_json: bool) -> None:
    """Hold all deliveries of a subscription."""
    show_item(connect().post(at("subscriptions", subscription_id, "pause")), as_json=as_json)


@command.command("resume")
@click.argument("subscription_id")
@click.option("--keep-held", is_flag=True, help="Leave the held deliveries held.")
@json_option
def resume_subscription(subscription_id: str, *, keep_held: bool, as_json: bool) -> None:
    """Go on, and send what was held, the oldest first."""
    show_item(connect().post(at("subscriptions", subscription_id, "resume"), {"held": "keep"} if keep_held else None), as_json=as_json)
