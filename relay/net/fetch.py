"""Posts and gets to addresses that others named, under guard.

The address that is checked is the one that is connected to (see pool). Redirects are not followed, cookies not kept, proxies and
credentials of the environment not used, answers not decompressed. Every exchange has one deadline, from the look-up of the name to the
last byte of the answer, so a receiver that drips holds nobody longer than one that is silent.

A post is sent once: a connection that breaks while it waits for an answer is an error here, and whether to send again is decided
by whoever asked. Connections that were opened under one policy are never used under another.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from relay import __version__
from relay.deadline import Deadlines
from relay.errors import RelayError
from relay.model import Picture
from relay.net.exchange import Answer, Broken, Connection, NotHttp, Overdue
from relay.net.guard import Policy, problem_with_url
from relay.net.lookup import Lookup, NameNotFound, Resolver, system_lookup
from relay.net.picture import picture_type
from relay.net.pool import AddressRefused, Host, Pool
from relay.net.request import Recipient, Unsendable, write_recipient
from relay.net.wording import explain

_POOLS: Final = 32
_EVERYWHERE: Final = Policy((ip_network("0.0.0.0/0"), ip_network("::/0")), allow_http=True)


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
    headers: Mapping[str, str]
    body: bytes
    error: str | None = None


class GuardedSession:
    """Exchanges under guard. To be made and closed inside the event loop that uses it. `keep_names`: for how many seconds the
    addresses of a name are known without another look-up; they are judged at every connection all the same."""

    def __init__(self, *, lookup: Lookup = system_lookup, keep_names: int = 10) -> None:
        self._resolver = Resolver(lookup, keep_names)
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._pools: dict[tuple[Policy, bool], Pool] = {}
        self._deadlines = Deadlines()  # of the exchanges under way
        self._connecting: set[asyncio.Timeout] = set()
        self._is_closed = False

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float, max_answer_bytes: int,
                   policy: Policy, owner: str = "") -> Reply:
        """Post `body`, once, and read at most `max_answer_bytes` of the answer. `timeout`: seconds for all of it. `owner`: on whose
        behalf; a connection is used for one owner only. Raises FetchError, in words for the owner of the URL."""
        recipient = recipient_at(url, headers=headers, policy=policy, owner=owner)
        return await self.send(recipient, (), body, timeout=timeout, max_answer_bytes=max_answer_bytes)

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, max_answer_bytes: int, policy: Policy) -> Reply:
        """The same without a body to send."""
        recipient = recipient_at(url, method="GET", headers=headers, policy=policy)
        return await self.send(recipient, (), None, timeout=timeout, max_answer_bytes=max_answer_bytes)

    async def send(self, recipient: Recipient, values: tuple[str, ...], body: bytes | None, *, timeout: float,
                   max_answer_bytes: int) -> Reply:
        """The same to a recipient. `values`: of the headers that each request has of its own."""
        if self._is_closed:
            raise FetchError(explain(Broken()))
        now, host, pool = time.monotonic(), recipient.host, self._pool(recipient.way)
        connection: Connection | None = None
        pool.busy += 1
        try:
            request = recipient.request(values, body, keeps=pool.keeps(host, now))
            connection = pool.idle(host, now) or await self._connect(pool, host, timeout)
            self._deadlines.watch(connection, now + timeout)
            return _reply(await connection.exchange(request, max_answer_bytes), max_answer_bytes, None)
        except AddressRefused as exc:
            raise Refused(str(exc)) from exc
        except (Broken, NotHttp, Overdue, Unsendable, NameNotFound, OSError, ValueError) as exc:
            return _broken(connection, max_answer_bytes, self._error(exc, timeout), exc)
        finally:
            pool.busy -= 1
            if connection is not None:
                self._deadlines.forget(connection)
                pool.give_back(host, connection)

    async def close(self) -> None:
        """Close every connection, those in use too: what is under way fails, and so does what comes after."""
        self._is_closed = True
        for deadline in [each for each in self._connecting if not each.expired()]:
            deadline.reschedule(asyncio.get_running_loop().time())
        for pool in self._pools.values():
            pool.close()
        self._deadlines.close()
        self._resolver.close()

    async def _connect(self, pool: Pool, host: Host, seconds: float) -> Connection:
        """Raises Overdue, and as Pool.connect."""
        try:
            async with asyncio.timeout(seconds) as deadline:
                self._connecting.add(deadline)
                return await pool.connect(host)
        except OSError as exc:
            if deadline.expired():
                raise Overdue from exc
            raise
        finally:
            self._connecting.discard(deadline)

    def _error(self, exc: Exception, timeout: float) -> FetchError:
        if self._is_closed:
            return FetchError(explain(Broken()))
        return TimedOut(f"timed out after {timeout:g} s") if isinstance(exc, Overdue) else FetchError(explain(exc))

    def _pool(self, way: tuple[Policy, bool]) -> Pool:
        known = self._pools.get(way)
        if known is not None:
            return known
        if len(self._pools) >= _POOLS:
            for key in [key for key, pool in self._pools.items() if not pool.busy]:
                self._pools.pop(key).close()
        policy, is_plain = way
        made = self._pools[way] = Pool(policy, self._resolver, None if is_plain else self._tls)
        return made


def recipient_at(url: str, *, method: str = "POST", headers: Mapping[str, str], own: tuple[str, ...] = (), policy: Policy,
                 owner: str = "") -> Recipient:
    """For one request to `url`, or for many. `headers`: those that are the same in all; `own`: the names of those that are not; `owner`:
    see `post`. Raises FetchError, in words for the owner of the URL."""
    problem = problem_with_url(url, policy)
    if problem:
        raise Refused(f"the URL {problem}")
    try:
        return write_recipient(method, url, headers, own, policy, owner)
    except Unsendable as exc:
        raise FetchError(explain(exc)) from exc
    except ValueError as exc:
        raise Refused(f"the URL is not valid: {explain(exc)}") from exc


def _broken(connection: Connection | None, limit: int, error: FetchError, cause: Exception) -> Reply:
    """What there is of the answer; raises `error` where there is nothing."""
    if connection is None or connection.answer is None:
        raise error from cause
    return _reply(connection.answer, limit, f"{error.message} in the middle of the answer")


def _reply(answer: Answer, limit: int, error: str | None) -> Reply:
    return Reply(status=answer.status, headers=answer.headers, body=bytes(answer.body[:limit]), error=error)


class GuardedFetcher:
    """Fetches pictures: the port Fetcher. `own_url`: what lies on the same server as this is fetched wherever it is: the operator named
    it."""

    def __init__(self, session: GuardedSession, policy: Policy, own_url: str | None = None) -> None:
        self._session = session
        self._policy = policy
        self._own = _server_of(own_url) if own_url else None

    async def fetch(self, url: str, *, max_bytes: int, timeout: float) -> Picture:
        """See ports.Fetcher."""
        try:
            reply = await self._session.get(
                url, headers={"accept": "image/*", "user-agent": f"relay/{__version__}"}, timeout=timeout,
                max_answer_bytes=max_bytes + 1, policy=self._policy_for(url))
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

    def _policy_for(self, url: str) -> Policy:
        return _EVERYWHERE if self._own and _server_of(url) == self._own else self._policy


def _server_of(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        server = parts.scheme, parts.hostname, parts.port
    except ValueError:
        return None
    return server
