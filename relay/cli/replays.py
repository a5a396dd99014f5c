"""`relay replays`."""

import click

from relay.cli.client import at, connect
from relay.cli.noun import noun
from relay.cli.screen import field, json_option, moment, page_options, show_item, show_page
from relay.cli.watching import show_replays, state_of, watch


@click.group("replays", cls=noun("rpl_"))
def command() -> None:
    """List, watch and cancel replays.

    `relay replay` begins one. `relay replays` lists them, `relay replays ID` shows one.
    """


@command.command("list")
@click.option("--subscription", "subscription_id", help="One subscription's only.")
@page_options
def list_replays(subscription_id: str | None, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """List replays, the newest first."""
    show_page(connect().get("replays", subscription_id=subscription_id, limit=limit, cursor=cursor), {
        "id": field("id"), "subscription": field("subscription_id"), "status": field("status"), "done": state_of,
        "of deliveries": field("delivery_status"), "types": field("types"), "begun": moment("created_at"),
    }, as_json=as_json)


@command.command("show")
@click.argument("replay_id")
@json_option
def show_replay(replay_id: str, *, as_json: bool) -> None:
    """Show one replay."""
    show_item(connect().get(at("replays", replay_id)), as_json=as_json)


@command.command("watch")
@click.argument("replay_id")
@json_option
def watch_replay(replay_id: str, *, as_json: bool) -> None:
    """Show how far a replay is until it ends."""
    client = connect()
    show_replays(watch(client, [client.get(at("replays", replay_id))], aside=as_json), as_json=as_json)


@command.command("cancel")
@click.argument("replay_id")
@json_option
def cancel_replay(replay_id: str, *, as_json: bool) -> None:
    """Stop a replay; what of it is not delivered yet is cancelled."""
    show_replays([connect().post(at("replays", replay_id, "cancel"))], as_json=as_json)
