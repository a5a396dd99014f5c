"""`relay replay`."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from relay.cli.client import Client, at, connect
from relay.cli.deliveries import chosen_status
from relay.cli.moment import moment_option
from relay.cli.screen import json_option
from relay.cli.watching import show_replays, watch


@click.command("replay")
@click.argument("subscription_id", required=False)
@click.option("--all", "to_all", is_flag=True, help="To every active subscription that has such deliveries; wants --failed or --status.")
@click.option("--failed", is_flag=True, help="Events that every attempt failed for: short for --status exhausted.")
@click.option("--status", type=click.Choice(["delivered", "exhausted", "held", "cancelled"]),
              help="Events whose newest delivery stands so.  [default: all that the subscription's filters let through]")
@click.option("--type", "types", multiple=True, help="An event type or a pattern such as task.*; may be repeated.")
@moment_option("--since", help="Events from then on")
@moment_option("--until", help="Events before then")
@click.option("--no-wait", is_flag=True, help="Begin it and go.")
@json_option
def command(*, subscription_id: str | None, to_all: bool, failed: bool, status: str | None, types: tuple[str, ...], since: str | None,
            until: str | None, no_wait: bool, as_json: bool) -> None:
    """Send events to a subscription once more.

    It runs in the service, behind live events; what is shown is how far it is. Ctrl-C ends the showing, not the replay:
    `relay replays watch REPLAY_ID` shows it again, `relay replays cancel REPLAY_ID` stops it.
    """
    wish = {"status": chosen_status(status, failed=failed), "types": list(types) or None, "since": since, "until": until}
    if to_all == (subscription_id is not None):
        raise click.UsageError("say which: a SUBSCRIPTION_ID or --all")
    if to_all and not wish["status"]:
        raise click.UsageError("--all wants --failed or --status")
    client = connect()
    ids = _concerned(client, str(wish["status"])) if subscription_id is None else [subscription_id]
    replays = [client.post(at("subscriptions", one, "replay"), _given(wish)) for one in ids]
    show_replays(replays if no_wait else watch(client, replays, aside=as_json), as_json=as_json, as_list=to_all)


def _concerned(client: Client, status: str) -> list[str]:
    """The active subscriptions with a delivery that stands so."""
    return [one["id"] for one in _subscriptions(client) if one["status"] == "active"
            and client.get("deliveries", subscription_id=one["id"], status=status, limit=1)["data"]]


def _subscriptions(client: Client) -> Iterator[Mapping[str, Any]]:
    page = client.get("subscriptions", limit=200)
    yield from page["data"]
    while page["next_cursor"]:
        page = client.get("subscriptions", limit=200, cursor=page["next_cursor"])
        yield from page["data"]


def _given(wish: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wish.items() if value is not None}
