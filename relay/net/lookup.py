"""Names to addresses. Look-ups run in threads of their own: one for a dead name sits in its thread for many seconds, and must hold
up neither the others nor anything else that needs a thread."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

Lookup = Callable[[str, int], list[str]]
"""A blocking look-up of a name (and a port) -> its addresses as text. Raises OSError."""

_THREADS: Final = 512  # as many as there may be attempts at a time; each is made when it is needed


def system_lookup(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for _, _, _, _, address in found]


class ThreadResolver(AbstractResolver):
    """A look-up as aiohttp wants it."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="relay-lookup")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:  # noqa: ARG002 -- all families
        """Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                          proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST)
            for address in dict.fromkeys(found)
        ]

    async def close(self) -> None:
        """Look-ups that are under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
