"""`relay listen`."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import click
import httpx

from relay import __version__
from relay.cli.client import Client, Failed, connect, explain, fail_unreachable, uses_proxy
from relay.cli.screen import plain
from relay.cli.stream import Message, StreamReader
from relay.signing import new_webhook_secret, read_webhook_secret, webhook_signature

_PATIENCE: Final = 20.0  # seconds that the local receiver has, as a subscriber would
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0


@click.command("listen")
@click.option("--to", "target", metavar="URL", help="Post each event there, signed; without it events are just shown.")
@click.option("--type", "types", multiple=True, help="Only this event type, or a pattern such as task.*; may be repeated.  [default: all]")
def command(target: str | None, types: tuple[str, ...]) -> None:
    """Stream events to a local URL, or just show them.

    No public URL is needed: the events are fetched from the running service. Each is signed with a secret that is made and printed at the
    start. What happens from now on is shown; a connection that breaks is taken up again where it broke off. Ctrl-C ends it.
    """
    client = connect()
    receiver = Receiver(_checked(target)) if target else None
    if receiver:
        click.echo(f"signing with {receiver.secret}")
    try:
        for message in follow(client, types):
            said = receiver.tell(message) if receiver else plain(message.data)
            click.echo(f"{datetime.now().astimezone():%H:%M:%S} {plain(message.event)} {plain(message.id)} {said}")
    except KeyboardInterrupt:
        return


def _checked(target: str) -> str:
    try:
        parts = urlsplit(target)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter("must be an http(s) URL", param_hint="--to")
    return target


class Receiver:
    """A local URL that is told of events as a subscriber would be."""

    def __init__(self, url: str) -> None:
        self.secret = new_webhook_secret()
        self._url = url
        self._key = read_webhook_secret(self.secret)
        self._http = click.get_current_context().with_resource(httpx.Client(timeout=_PATIENCE, trust_env=uses_proxy(url)))

    def tell(self, message: Message) -> str:
        """Post one event; what came of it, in words."""
        body = message.data.encode()
        timestamp = int(time.time())
        started = time.perf_counter()
        try:
            response = self._http.post(self._url, content=body, headers={
                "content-type": "application/json", "user-agent": f"relay/{__version__}", "webhook-id": message.id,
                "webhook-timestamp": str(timestamp), "webhook-signature": webhook_signature([self._key], message.id, timestamp, body),
                "webhook-attempt": "1",
            })
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            return f"-> {plain(str(exc) or type(exc).__name__)}"
        return f"-> {response.status_code} in {(time.perf_counter() - started) * 1000:.0f} ms {plain(response.text[:200])}".rstrip()


def follow(client: Client, types: Sequence[str] = ()) -> Iterator[Message]:
    """The events of the account, of these types (patterns) or all, without end and without a gap. Raises Failed if the service refuses,
    or was never there."""
    reader = StreamReader()
    pause = 0.0
    while True:
        try:
            with _stream(client, types, reader.last_id) as response:
                if not response.is_success and (response.is_client_error or not pause):
                    response.read()
                    raise Failed(explain(response))
                response.raise_for_status()
                click.echo(f"listening to {client.url}{' again' if pause else ''}")
                pause = _FIRST_PAUSE
                for line in response.iter_lines():
                    if message := reader.feed(line):
                        yield message
        except httpx.HTTPError as exc:
            if not pause:
                fail_unreachable(client.url, exc)
        if pause == _FIRST_PAUSE:
            click.echo("the connection broke; it is taken up again", err=True)
        reader.forget()
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _stream(client: Client, types: Sequence[str], last_id: str) -> Any:  # noqa: ANN401 -- httpx's own context manager
    return client.stream("events/stream", headers={"last-event-id": last_id} if last_id else {}, types=",".join(types) or None)
