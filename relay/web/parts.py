"""What the HTTP side needs of the others, in one bundle: every handler gets it with its call."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from msgspec import Struct

from relay.bell import Bell
from relay.net.guard import Policy
from relay.ports import Archive, Formats, Gate, Meter, Prepare, Provider, Role, Store, Tasks
from relay.signing import Seal
from relay.vault import Vault
from relay.view import Link

ShakeHands = Callable[[str, Mapping[str, str], Policy], Awaitable[str | None]]
"""Ask the receiver at this address, with these headers, whether it wants to hear. What went wrong, in words; None: it agreed."""


class Web(Struct, frozen=True, kw_only=True):
    """`public_url`: base of absolute links, without a slash at its end. `workers_alive`: why not all is well, in words; empty
    when it is. `render_metrics`: body and content type, or None where nobody counts. `stopping` is set when the process
    stops: streams and held answers end then."""

    store: Store
    tasks: Tasks
    gate: Gate
    providers: Mapping[str, Provider]
    archive: Archive
    bell: Bell
    vault: Vault
    formats: Formats
    prepare: Prepare
    link: Link
    image_seal: Seal
    policy: Policy
    shake_hands: ShakeHands
    clock: Callable[[], datetime]
    new_id: Callable[[str], str]
    meter: Meter
    public_url: str
    stopping: asyncio.Event
    role: Role = Role.ALL
    workers_alive: Callable[[], list[str]] = list
    render_metrics: Callable[[], Awaitable[tuple[bytes, str]]] | None = None

    def seen_from_outside(self, path: str) -> str:
        """A path of ours as clients know it: below that of the public URL, which a proxy takes away."""
        return urlsplit(self.public_url).path + path
