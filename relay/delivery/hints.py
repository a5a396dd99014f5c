"""What a receiver says in a way of its own, known by the format of the subscription: pure.

Discord (discord/discord-api-docs, developers/resources/webhook.mdx and developers/topics/rate-limits.mdx): without `wait=true` it
answers before it has taken the message, and one that it drops looks delivered. A webhook that was deleted answers 404, and whoever
goes on is banned. When it is asked too often it says how long to wait in `retry_after`, seconds with a fraction, in the JSON of a 429.
"""

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from relay.net.fetch import Reply
from relay.retry import LONGEST_RETRY_AFTER, read_retry_after

_GONE: Final = 410
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_DISCORD: Final = "discord"


class _Limited(Struct):
    retry_after: float


_decoder = msgspec.json.Decoder(_Limited)


def address_for(form: str, url: str) -> str:
    """Where a message of this format is posted. What the owner wrote stays as it is; a `wait` of theirs wins."""
    if form != _DISCORD:
        return url
    parts = urlsplit(url)
    if any(name == "wait" for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        return url
    return parts._replace(query=f"{parts.query}&wait=true" if parts.query else "wait=true").geturl()


def means_gone(form: str, status: int | None) -> bool:
    """The receiver says that it is gone for good."""
    return status == _GONE or (form == _DISCORD and status == _NOT_FOUND)


def wait_asked_for(form: str, reply: Reply, now: datetime) -> timedelta | None:
    """How long the receiver asks us to stay away, at most a day: by Retry-After, else in the way of its own."""
    header = reply.headers.get("retry-after")
    if header is not None or form != _DISCORD or reply.status != _TOO_MANY:
        return read_retry_after(header, now)
    try:
        seconds = _decoder.decode(reply.body).retry_after
    except msgspec.MsgspecError:
        return None
    return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds())) if seconds > 0 else None
