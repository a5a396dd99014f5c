"""Connections that were opened under one policy, for plain http or for https, kept for a few seconds after use.

Every socket, for a name as for a literal address, is made by one function that asks the guard first: the address that is checked is
the one that is connected to. Where a name has several addresses, the open ones are tried, the next one after a quarter of a second (RFC
8305). Connections are kept for less than common servers keep theirs, so that a post seldom meets one that is being closed; and only for
the hosts used last, so that posts to very many hosts do not use up the process's sockets.
"""

import asyncio
import functools
import socket
import ssl
import time
from collections import defaultdict
from typing import Any, Final

import aiohappyeyeballs

from relay.net.exchange import Broken, Connection
from relay.net.guard import Policy, read_address, refusal_of_connection
from relay.net.lookup import Resolver

KEEP_ALIVE_SECONDS: Final = 4.0  # Node and uvicorn close after 5
_KEPT_HOSTS: Final = 256
_NEXT_ADDRESS_SECONDS: Final = 0.25

Host = tuple[str, int, str]
"""Name or literal address, port, and on whose behalf: a server that answers before it is asked deceives only whoever named it."""

_Info = tuple[int, int, int, str, tuple[Any, ...]]


class AddressRefused(Exception):
    """Nothing was sent; the message names the address."""


def _guarded_socket(policy: Policy, info: _Info, *, is_plain: bool) -> socket.socket:
    """A socket for the address in `info`, the only kind that this module connects."""
    family, kind, protocol, _, address = info
    refusal = refusal_of_connection(read_address(address[0]), policy, is_plain=is_plain)
    if refusal:
        raise AddressRefused(refusal)
    return socket.socket(family, kind, protocol)


class Pool:
    """`tls`: None for plain http."""

    def __init__(self, policy: Policy, resolver: Resolver, tls: ssl.SSLContext | None) -> None:
        self.busy = 0
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._all: set[Connection] = set()
        self._idle: defaultdict[Host, list[tuple[float, Connection]]] = defaultdict(list)
        self._used_at: dict[Host, float] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def keeps(self, host: Host, now: float) -> bool:
        """Whether a connection to this host may stay open. `now`: see `idle`."""
        if host not in self._used_at and len(self._used_at) >= _KEPT_HOSTS:
            self._used_at = {each: used for each, used in self._used_at.items() if used > now - KEEP_ALIVE_SECONDS}
            if len(self._used_at) >= _KEPT_HOSTS:
                return False
        self._used_at[host] = now
        return True

    def idle(self, host: Host, now: float) -> Connection | None:
        """A connection to this host that was kept, to be given back. `now` by `time.monotonic`."""
        kept = self._idle.get(host)
        while kept:
            since, connection = kept.pop()
            if connection.is_reusable and since > now - KEEP_ALIVE_SECONDS and connection.is_quiet():
                return connection
            self._drop(connection)
        return None

    async def connect(self, host: Host) -> Connection:
        """A new one, to be given back. Raises AddressRefused, NameNotFound, OSError, Broken."""
        connection = await self._connect(host)
        if self._is_closed:  # meanwhile
            connection.close()
            raise Broken
        self._all.add(connection)
        return connection

    def give_back(self, host: Host, connection: Connection) -> None:
        """It is kept if it may be used again."""
        if not connection.is_reusable or host not in self._used_at:
            self._drop(connection)
            return
        self._idle[host].append((time.monotonic(), connection))
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEEP_ALIVE_SECONDS, self._close_old)

    def close(self) -> None:
        """Close every connection, those in use too, and those that are being made as soon as they are."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._all):
            self._drop(connection)

    async def _connect(self, host: Host) -> Connection:
        infos = await self._open_addresses(host)
        made = await aiohappyeyeballs.start_connection(
            infos, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
            socket_factory=functools.partial(_guarded_socket, self._policy, is_plain=self._tls is None))
        name = host[0].removesuffix(".") if self._tls else None
        try:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, sock=made, ssl=self._tls, server_hostname=name)
        except BaseException:
            made.close()
            raise
        return connection

    async def _open_addresses(self, host: Host) -> list[_Info]:
        """Those of its addresses that may be reached. Raises AddressRefused if there is none."""
        infos: list[_Info] = []
        refusals: list[str] = []
        for address in await self._resolver.resolve(host[0], host[1]):
            refusal = refusal_of_connection(read_address(address), self._policy, is_plain=self._tls is None)
            if refusal:
                refusals.append(refusal)
            else:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                infos.append((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, host[1])))
        if not infos:
            raise AddressRefused(refusals[0] if refusals else f"{host[0]} has no address")
        return infos

    def _close_old(self) -> None:
        now = time.monotonic()
        for host in list(self._idle):
            kept = []
            for since, connection in self._idle[host]:
                if connection.is_reusable and since > now - KEEP_ALIVE_SECONDS:
                    kept.append((since, connection))
                else:
                    self._drop(connection)
            self._idle[host] = kept
            if not kept:
                del self._idle[host]
        self._sweep = asyncio.get_running_loop().call_later(1.0, self._close_old) if self._idle else None

    def _drop(self, connection: Connection) -> None:
        self._all.discard(connection)
        connection.close()
