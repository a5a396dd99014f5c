"""`relay trigger`."""

import click

from relay.cli.client import connect
from relay.cli.screen import json_option, show_json


@click.command("trigger")
@click.argument("kind", metavar="TYPE")
@json_option
def command(kind: str, *, as_json: bool) -> None:
    """Send a sample event to the subscriptions.

    TYPE is an event type such as task.succeeded, task.failed or ping. The event is realistic and takes the whole delivery path.
    """
    told = connect().post("events", {"type": kind})
    if as_json:
        show_json(told)
        return
    click.echo(f"{kind} {told['id']} goes to {len(told['deliveries']) or 'none'} of your subscriptions")
    for delivery in told["deliveries"]:
        click.echo(f"  {delivery['subscription_id']} as {delivery['id']}")
