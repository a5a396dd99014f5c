"""Names to addresses. Look-ups run in threads of their own: one for a dead name sits in its thread for many seconds, and must hold
up neither the others nor anything else that needs a thread."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

Lookup = Callable[[str, int], list[str]]
"""A blocking look-up of a name (and a port) -> its addresses as text. Raises OSError."""

_THREADS: Final = 512  # as many as there may be attempts at a time; each is made when it is needed
_MOST_KNOWN: Final = 1024


def system_lookup(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for _, _, _, _, address in found]


class NameNotFound(Exception):
    """`is_silent`: nobody answered, which is not to say that there is no such name."""

    def __init__(self, host: str, *, is_silent: bool) -> None:
        super().__init__(host)
        self.host = host
        self.is_silent = is_silent


class Resolver:
    """`keep`: for how many seconds the addresses of a name are known without another look-up."""

    def __init__(self, lookup: Lookup, keep: float) -> None:
        self._lookup = lookup
        self._keep = keep
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="relay-lookup")

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a name, each once; a literal address is its own. Raises NameNotFound."""
        if _is_literal(host):
            return [host]
        until, addresses = self._known.get((host, port), (0.0, []))
        if time.monotonic() < until:
            return addresses
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port)
        except OSError as exc:
            raise NameNotFound(host, is_silent=exc.errno == socket.EAI_AGAIN) from exc
        addresses = list(dict.fromkeys(found))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[host, port] = (time.monotonic() + self._keep, addresses)
        return addresses

    def close(self) -> None:
        """Look-ups that are under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
