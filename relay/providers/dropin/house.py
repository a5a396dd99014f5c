"""What the drop-ins need of the others, in one bundle."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.types import Scope

from relay.bell import Bell
from relay.ports import Archive, Fetcher, Gate, Meter, Provider, Store, Tasks
from relay.signing import Seal
from relay.view import Link


class Say(Protocol):
    """What there is to say of a request goes into the one line that the log has for it."""

    def __call__(self, scope: Scope, **fields: str) -> None: ...


class House(Struct, frozen=True, kw_only=True):
    """`read_body` bounds size and time, `read_value` what JSON may hold; both raise RequestError. `public_url`: base of absolute links,
    without a slash at its end. `seal` signs the capabilities by which tasks are polled. `via`: drop-in -> the provider that makes its
    pictures, where that is another. `holds`: drop-in -> the seconds that it may hold a connection. `fetchers`: provider -> what fetches
    the pictures that it names. `settling`: seconds until a connection that its client knows to be lost, or a process that died, is known
    to be so here as well. `credits`: provider -> what it last said is left. `stopping` is set when the process stops."""

    store: Store
    tasks: Tasks
    gate: Gate
    providers: Mapping[str, Provider]
    archive: Archive
    fetchers: Mapping[str, Fetcher]
    bell: Bell
    link: Link
    seal: Seal
    public_url: str
    via: Mapping[str, str]
    holds: Mapping[str, float]
    settling: float
    credits: Mapping[str, float]
    read_body: Callable[[Request, int], Awaitable[bytes]]
    read_value: Callable[[bytes], Any]
    say: Say
    meter: Meter
    clock: Callable[[], datetime]
    stopping: asyncio.Event
