"""Headers of their own that owners want sent along: checked, and sealed, since some of them are secrets."""

import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from relay import model
from relay.view import to_json
from relay.web.fields import refuse
from relay.web.parts import Web

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]{0,2000}")
_RESERVED: Final = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "date", "expect", "host", "keep-alive", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-webhook-secret",
})

Headers = Annotated[dict[str, str], Meta(max_length=20)]


def sealed_headers(web: Web, headers: Mapping[str, str] | None) -> str | None:
    """Raises Invalid."""
    for name, value in (headers or {}).items():
        _check_header(name, value)
    if len({name.lower() for name in headers or ()}) != len(headers or ()):
        raise refuse("headers", "has a name twice; upper and lower case are the same")
    return web.vault.seal(to_json(headers).decode()) if headers else None


def _check_header(name: str, value: str) -> None:
    field = f"headers.{name[:100]}"
    if not _HEADER_NAME.fullmatch(name):
        raise refuse(field, "is no name of a header")
    if name.lower() in _RESERVED or name.lower().startswith("webhook-"):
        raise refuse(field, "is set by Relay itself")
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise refuse(field, "must be at most 2000 visible ASCII characters, spaces only inside")


def opened_headers(subscription: model.Subscription, web: Web) -> dict[str, str]:
    """Its custom headers."""
    if subscription.sealed_headers is None:
        return {}
    return msgspec.json.decode(web.vault.open(subscription.sealed_headers), type=dict[str, str])


def headers_of(subscription: model.Subscription, web: Web) -> dict[str, str]:
    """The same, values masked."""
    return dict.fromkeys(opened_headers(subscription, web), "***")
