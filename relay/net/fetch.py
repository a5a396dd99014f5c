"""Posts and gets to addresses that others named, under guard.

The address that is checked is the one that is connected to (see pool). Redirects are not followed, cookies not kept, proxies and
credentials of the environment not used, answers not decompressed. Every exchange has one deadline, from the look-up of the name to the
last byte of the answer, so a receiver that drips holds nobody longer than one that is silent.

A post is sent once: a connection that breaks while it waits for an answer is an error here, and whether to send again is decided
by whoever asked. Connections that were opened under one policy are never used under another.
"""

import asyncio
import functools
import re
import ssl
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from yarl import URL

from relay import __version__
from relay.errors import RelayError
from relay.model import Picture
from relay.net.exchange import Answer, Broken, Connection, NotHttp
from relay.net.guard import Policy, problem_with_url
from relay.net.lookup import Lookup, NameNotFound, Resolver, system_lookup
from relay.net.picture import picture_type
from relay.net.pool import AddressRefused, Pool
from relay.net.wording import explain

_POOLS: Final = 32
_EVERYWHERE: Final = Policy((ip_network("0.0.0.0/0"), ip_network("::/0")), allow_http=True)
_FRAMING: Final = frozenset({"host", "connection", "content-length", "transfer-encoding"})
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


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


class GuardedSession:
    """Exchanges under guard. To be made and closed inside the event loop that uses it. `keep_names`: for how many seconds the
    addresses of a name are known without another look-up; they are judged at every connection all the same."""

    def __init__(self, *, lookup: Lookup = system_lookup, keep_names: int = 10) -> None:
        self._resolver = Resolver(lookup, keep_names)
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._pools: dict[tuple[Policy, bool], Pool] = {}
        self._deadlines: set[asyncio.Timeout] = set()  # of the exchanges under way
        self._is_closed = False

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float, max_answer_bytes: int,
                   policy: Policy, owner: str = "") -> Reply:
        """Post `body`, once, and read at most `max_answer_bytes` of the answer. `timeout`: seconds for all of it. `owner`: on whose
        behalf; a connection is used for one owner only. Raises FetchError, in words for the owner of the URL."""
        return await self._exchange(
            "POST", url, headers=headers, body=body, timeout=timeout, limit=max_answer_bytes, policy=policy, owner=owner)

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, max_answer_bytes: int, policy: Policy) -> Reply:
        """The same without a body to send."""
        return await self._exchange("GET", url, headers=headers, body=None, timeout=timeout, limit=max_answer_bytes, policy=policy)

    async def close(self) -> None:
        """Close every connection, those in use too: what is under way fails, and so does what comes after."""
        self._is_closed = True
        for deadline in [each for each in self._deadlines if not each.expired()]:
            deadline.reschedule(asyncio.get_running_loop().time())
        for pool in self._pools.values():
            pool.close()
        self._resolver.close()

    async def _exchange(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: float, limit: int,
                        policy: Policy, owner: str = "") -> Reply:
        problem = problem_with_url(url, policy)
        if problem:
            raise Refused(f"the URL {problem}")
        target = _target_of(url)
        pool = self._pool(policy, is_plain=target.is_plain)
        host = (*target.host, owner)
        request = _request(method, target, headers, body, keeps=pool.keeps(host))
        connection: Connection | None = None
        pool.busy += 1
        try:
            async with asyncio.timeout(timeout) as deadline:
                self._begin(deadline)
                connection = await pool.take(host)
                return _reply(await connection.exchange(request, limit), limit, None)
        except AddressRefused as exc:
            raise Refused(str(exc)) from exc
        except (Broken, NotHttp, NameNotFound, OSError, ValueError) as exc:
            return _broken(connection, limit, self._error(exc, timeout, has_expired=deadline.expired()), exc)
        finally:
            self._deadlines.discard(deadline)
            pool.busy -= 1
            if connection is not None:
                pool.give_back(host, connection)

    def _begin(self, deadline: asyncio.Timeout) -> None:
        if self._is_closed:
            raise Broken
        self._deadlines.add(deadline)

    def _error(self, exc: Exception, timeout: float, *, has_expired: bool) -> FetchError:
        if self._is_closed:
            return FetchError(explain(Broken()))
        return TimedOut(f"timed out after {timeout:g} s") if has_expired else FetchError(explain(exc))

    def _pool(self, policy: Policy, *, is_plain: bool) -> Pool:
        known = self._pools.get((policy, is_plain))
        if known is not None:
            return known
        if len(self._pools) >= _POOLS:
            for key in [key for key, pool in self._pools.items() if not pool.busy]:
                self._pools.pop(key).close()
        made = self._pools[policy, is_plain] = Pool(policy, self._resolver, None if is_plain else self._tls)
        return made


def _target_of(url: str) -> _Target:
    try:
        return _read_target(url)
    except ValueError as exc:
        raise Refused(f"the URL is not valid: {explain(exc)}") from exc


@functools.lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _request(method: str, target: _Target, headers: Mapping[str, str], body: bytes | None, *, keeps: bool) -> bytes:
    """All that is sent. How it is framed is ours to say, whatever `headers` say. Raises FetchError for what cannot stand in a header."""
    given = {"accept": "*/*", "accept-encoding": "identity", **headers}
    lines = [f"{method} {target.path} HTTP/1.1", f"host: {target.name}"]
    lines += [f"{name}: {value}" for name, value in given.items() if name.lower() not in _FRAMING]
    if _UNSENDABLE.search("".join(lines)):
        raise FetchError("the request could not be made: a header holds a line break or another control character")
    if not all(map(_is_name, given)):
        raise FetchError("the request could not be made: a header has a name that is none")
    if not keeps:
        lines.append("connection: close")
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    try:
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")
    except UnicodeEncodeError as exc:
        raise FetchError("the request could not be made: a header holds half a character") from exc


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
