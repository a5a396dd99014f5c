"""`relay keys`."""

import click

from relay.cli.client import at, connect
from relay.cli.noun import noun
from relay.cli.pairs import read_pairs
from relay.cli.screen import field, json_option, moment, page_options, show_done, show_item, show_page
from relay.model import Scope


@click.group("keys", cls=noun("key_"))
def command() -> None:
    """List, add and revoke API keys."""


@command.command("list")
@page_options
def list_keys(limit: int, cursor: str | None, *, as_json: bool) -> None:
    """List the keys in force."""
    show_page(connect().get("keys", limit=limit, cursor=cursor), {
        "id": field("id"), "name": field("name"), "scopes": field("scopes"), "created": moment("created_at"),
    }, as_json=as_json)


@command.command("add")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice([scope.value for scope in Scope]), required=True,
              help="What the key may do; may be repeated.")
@click.option("--account", help="The account it belongs to, if not yours (admin).")
@click.option("--via", multiple=True, metavar="DROPIN=PROVIDER", help="Who makes the pictures of this drop-in; may be repeated.")
@json_option
def add_key(name: str, scopes: tuple[str, ...], account: str | None, via: tuple[str, ...], *, as_json: bool) -> None:
    """Make a key; it is shown this once."""
    body = {"name": name, "scopes": list(scopes), "account": account, "via": read_pairs(via) or None}
    show_item(connect().post("keys", body), as_json=as_json)


@command.command("rm")
@click.argument("key_id")
@json_option
def revoke_key(key_id: str, *, as_json: bool) -> None:
    """Revoke a key."""
    show_done(connect().delete(at("keys", key_id)), f"{key_id} is revoked", as_json=as_json)
