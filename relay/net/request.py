"""What is sent, written so that it can be read in one way only.

What all requests to one recipient say alike is checked and written out once; what only one of them says is put behind it. How a request
is framed is ours to say, whatever its headers say.
"""

import functools
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from yarl import URL

from relay.net.guard import Policy
from relay.net.pool import Host

_FRAMING: Final = frozenset({"host", "connection", "content-length", "transfer-encoding"})
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Unsendable(Exception):
    """What cannot stand in a request; the message says why, in words."""


class Recipient(Struct, frozen=True, eq=False):
    """Whom requests go to, and how they begin. `way`: under which policy it is reached, and whether over plain http. `form`: the
    headers whose values each request has of its own."""

    host: Host
    way: tuple[Policy, bool]
    head: bytes
    form: str

    def request(self, values: tuple[str, ...], body: bytes | None, *, keeps: bool) -> bytes:
        """All that is sent. `values`: of the headers in `form`. Raises Unsendable."""
        if not "".join(values).isprintable():
            raise Unsendable("a header holds a line break or another control character")
        closing = "" if keeps else "connection: close\r\n"
        length = "" if body is None else f"content-length: {len(body)}\r\n"
        return b"".join((self.head, f"{self.form % values}{closing}{length}\r\n".encode(), body or b""))


class _Target(Struct, frozen=True):
    """What a URL means for a request."""

    host: tuple[str, int]
    is_plain: bool
    name: str
    path: str


@functools.lru_cache(maxsize=4096)
def _read_target(url: str) -> _Target:
    """Byte for byte as its owner wrote it, where that can be. Raises ValueError."""
    read = URL(url, encoded=url.isascii())
    return _Target(
        host=(read.raw_host or "", read.port or 0), is_plain=read.scheme == "http", name=read.host_port_subcomponent or "",
        path=read.raw_path_qs or "/")


def write_recipient(method: str, url: str, headers: Mapping[str, str], own: tuple[str, ...], policy: Policy, owner: str) -> Recipient:
    """`headers`: those that are always the same; `own`: the names of those that are not. Raises ValueError for a URL that cannot be
    read, Unsendable."""
    target = _read_target(url)
    return Recipient(
        host=(*target.host, owner), way=(policy, target.is_plain), head=_head(method, target, headers),
        form="".join(f"{name}: %s\r\n" for name in own))


def _head(method: str, target: _Target, headers: Mapping[str, str]) -> bytes:
    given = {"accept": "*/*", "accept-encoding": "identity", **headers}
    lines = [f"{method} {target.path} HTTP/1.1", f"host: {target.name}"]
    lines += [f"{name}: {value}" for name, value in given.items() if name.lower() not in _FRAMING]
    if _UNSENDABLE.search("".join(lines)):
        raise Unsendable("a header holds a line break or another control character")
    if not all(map(_NAME.fullmatch, given)):
        raise Unsendable("a header has a name that is none")
    try:
        return "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as exc:
        raise Unsendable("a header holds half a character") from exc
