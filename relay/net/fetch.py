"""Posts and gets to addresses that others named, under guard.

The address that is checked is the one that is connected to: every socket, for a name as for a literal address, is made by one
function that asks the guard first. Redirects are not followed, cookies not kept, proxies of the environment not used, answers not
decompressed. Every exchange has one deadline, from the look-up of the name to the last byte of the answer, so a receiver that drips
holds nobody longer than one that is silent.

A post is sent once: a connection that breaks while it waits for an answer is an error here, and whether to send again is decided
by whoever asked. Connections stay open for a few seconds, for less than common servers keep theirs, so that a post seldom
meets a connection that is being closed; and only for a bounded number of hosts. Connections that were opened under one policy
are never used under another.
"""

import asyncio
import functools
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from msgspec import Struct
from yarl import URL

from relay import __version__
from relay.errors import RelayError
from relay.model import Picture
from relay.net.guard import Policy, problem_with_url, read_address, refusal_of_connection
from relay.net.lookup import Lookup, ThreadResolver, system_lookup
from relay.net.picture import picture_type
from relay.net.wording import explain

KEEP_ALIVE_SECONDS: Final = 4.0  # Node and uvicorn close after 5
_KEPT_HOSTS: Final = 256
_POOLS: Final = 32
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)  # the deadline is ours


class FetchError(RelayError):
    """No answer came."""

    code = "unreachable"
    status = 502


class Refused(FetchError):
    """The address must not be reached."""


class TimedOut(FetchError):
    """The deadline passed."""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer. Header names are lower case; of repeated headers the first. `body` is its beginning. `error`: why that broke off,
    in words, if it did before its end and before there was as much of it as was asked for."""

    status: int
    headers: dict[str, str]
    body: bytes
    error: str | None = None


class _AddressRefused(OSError):
    """Raised where a socket would be made; aiohttp wraps it as any failure to connect."""


def _guarded_socket(policy: Policy, info: tuple[Any, ...], *, is_plain: bool) -> socket.socket:
    """A socket for the address in `info`, the only kind that this module connects."""
    family, kind, protocol, _, address = info
    refusal = refusal_of_connection(read_address(address[0]), policy, is_plain=is_plain)
    if refusal:
        raise _AddressRefused(refusal)
    return socket.socket(family, kind, protocol)


class _Pool:
    """The connections that were opened under one policy, for plain http or for https."""

    def __init__(self, policy: Policy, resolver: ThreadResolver, *, is_plain: bool, keep_names: int) -> None:
        self.busy = 0
        self._kept: dict[tuple[str | None, int | None], float] = {}
        connector = aiohttp.TCPConnector(
            resolver=resolver, socket_factory=functools.partial(_guarded_socket, policy, is_plain=is_plain),
            limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS,  # who asks says how much at once: waiting here would cost the others their time
            ttl_dns_cache=keep_names,
        )
        self.session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False, timeout=_NO_TIMEOUT,
            skip_auto_headers=("user-agent", "content-type"),
        )

    def headers_for(self, url: URL, headers: Mapping[str, str]) -> dict[str, str]:
        """What goes with a request to this host."""
        return {"accept-encoding": "identity", **headers, **({} if self._keeps(url) else {"connection": "close"})}

    def _keeps(self, url: URL) -> bool:
        """Whether a connection to this host may stay open: those to the hosts used last may, up to a limit, so that posts to very
        many hosts do not use up the process's sockets."""
        now, host = time.monotonic(), (url.raw_host, url.port)
        if host not in self._kept and len(self._kept) >= _KEPT_HOSTS:
            self._kept = {each: used for each, used in self._kept.items() if used > now - KEEP_ALIVE_SECONDS}
            if len(self._kept) >= _KEPT_HOSTS:
                return False
        self._kept[host] = now
        return True


class GuardedSession:
    """Exchanges under guard. To be made and closed inside the event loop that uses it. `keep_names`: for how many seconds the
    addresses of a name are known without another look-up; they are judged at every connection all the same."""

    def __init__(self, *, lookup: Lookup = system_lookup, keep_names: int = 10) -> None:
        self._resolver = ThreadResolver(lookup)
        self._keep_names = keep_names
        self._pools: dict[tuple[Policy, bool], _Pool] = {}

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float, max_answer_bytes: int,
                   policy: Policy) -> Reply:
        """Post `body`, once, and read at most `max_answer_bytes` of the answer. `timeout`: seconds for all of it. Raises FetchError,
        in words for the owner of the URL."""
        return await self._exchange("POST", url, headers=headers, body=body, timeout=timeout, limit=max_answer_bytes, policy=policy)

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, max_answer_bytes: int, policy: Policy) -> Reply:
        """The same without a body to send."""
        return await self._exchange("GET", url, headers=headers, body=None, timeout=timeout, limit=max_answer_bytes, policy=policy)

    async def close(self) -> None:
        """Close every connection, those in use too."""
        for pool in self._pools.values():
            await pool.session.close()
        await self._resolver.close()

    async def _exchange(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: float, limit: int,
                        policy: Policy) -> Reply:
        problem = problem_with_url(url, policy)
        if problem:
            raise Refused(f"the URL {problem}")
        target = URL(url, encoded=url.isascii())  # byte for byte as its owner wrote it, where that can be
        answer = _Answer(limit)
        try:
            async with asyncio.timeout(timeout), self._pool(policy, is_plain=target.scheme == "http") as pool:
                request = pool.session.request(method, target, headers=pool.headers_for(target, headers), data=body, allow_redirects=False)
                async with request as response:
                    return await answer.read(response)
        except TimeoutError as exc:
            return answer.broken(TimedOut(f"timed out after {timeout:g} s"), exc)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return answer.broken(_translate(exc), exc)

    @asynccontextmanager
    async def _pool(self, policy: Policy, *, is_plain: bool) -> AsyncIterator[_Pool]:
        pool = self._pools.get((policy, is_plain)) or await self._add_pool(policy, is_plain=is_plain)
        pool.busy += 1
        try:
            yield pool
        finally:
            pool.busy -= 1

    async def _add_pool(self, policy: Policy, *, is_plain: bool) -> _Pool:
        idle = [key for key, pool in self._pools.items() if not pool.busy] if len(self._pools) >= _POOLS else []
        pool = self._pools[policy, is_plain] = _Pool(policy, self._resolver, is_plain=is_plain, keep_names=self._keep_names)
        for key in idle:
            await self._pools.pop(key).session.close()
        return pool


class _Answer:
    """As much of an answer as has come."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._response: aiohttp.ClientResponse | None = None

    async def read(self, response: aiohttp.ClientResponse) -> Reply:
        self._response = response
        while len(self._body) < self._limit and (chunk := await response.content.readany()):
            self._body += chunk
        if not response.content.at_eof():
            response.close()
        return self._reply(response, None)

    def broken(self, error: FetchError, cause: Exception) -> Reply:
        """What there is of the answer; raises `error` where there is nothing."""
        if self._response is None:
            raise error from cause
        return self._reply(self._response, f"{error.message} in the middle of the answer")

    def _reply(self, response: aiohttp.ClientResponse, error: str | None) -> Reply:
        headers = {name.lower(): value for name, value in reversed(tuple(response.headers.items()))}
        return Reply(status=response.status, headers=headers, body=bytes(self._body[:self._limit]), error=error)


class GuardedFetcher:
    """Fetches pictures: the port Fetcher."""

    def __init__(self, session: GuardedSession, policy: Policy) -> None:
        self._session = session
        self._policy = policy

    async def fetch(self, url: str, *, max_bytes: int, timeout: float) -> Picture:
        """See ports.Fetcher."""
        try:
            reply = await self._session.get(
                url, headers={"accept": "image/*", "user-agent": f"relay/{__version__}"}, timeout=timeout,
                max_answer_bytes=max_bytes + 1, policy=self._policy)
        except FetchError as exc:
            raise ValueError(exc.message) from exc
        if reply.status != 200 or reply.error:
            raise ValueError(reply.error or f"answered {reply.status} instead of 200")
        if len(reply.body) > max_bytes:
            raise ValueError(f"has more than {max_bytes} bytes")
        content_type = picture_type(reply.body)
        if content_type is None:
            raise ValueError("is no picture (JPEG, PNG, WebP or GIF)")
        return Picture(url=url, data=reply.body, content_type=content_type)


def _translate(exc: Exception) -> FetchError:
    cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
    if isinstance(cause, _AddressRefused):
        return Refused(str(cause))
    return FetchError(explain(exc))
