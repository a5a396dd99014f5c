"""Talking to a provider over HTTP: the only home of httpx. Bytes out, an Answer in, every failure a ProviderError.

Decisions
- One question matters when a submission fails: can the provider have seen it? httpcore tells us through its trace
  extension when it begins to write the request head. A failure before that moment (name, connect, TLS, and a time limit
  that ran out while connecting) is NOT_ACCEPTED: surely nothing was sent. Everything later (write, read, time, a body cut
  short or too large) is UNKNOWN.
- Submissions ask for a `fresh` connection. An idle connection that the provider closes while we write to it looks like a
  lost answer; it would make the outcome of a paid task unknown for no reason. Queries share kept connections.
- The time limit is for the whole request, connecting and body included: a provider that sends a byte a second is stopped.
- No proxy or certificate settings from the environment, no redirects (the key would go along), no cookies, no compression.
- The key travels in a header and nowhere else; `hide` takes it out of any text that a provider echoes.
"""

import asyncio
import functools
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from relay.errors import ConfigError, Fate, FieldProblem, ProviderError
from relay.model import ErrorCode, Update
from relay.ports.provider import Limits, ProviderConfig
from relay.providers.answer import Answer
from relay.retry import read_retry_after

JSON_BYTES: Final = 4 * 1024 * 1024
"""The largest answer taken unless the caller says otherwise: far more than any documented JSON answer."""
_CONNECT_SECONDS: Final = 10.0  # for TCP and TLS each; half of the whole at most, since a handshake that is cancelled leaks its socket
_IDLE_SECONDS: Final = 2.0  # shorter than any server's own limit that we know (gunicorn 2 s, uvicorn and node 5 s)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where a provider lives and what every request to it carries. `base_url` is all that stands before the documented
    path; None, like no `auth`, means not configured. `auth` holds the header with the key; `key` is what `hide` looks for.
    `timeout` in seconds for one whole request."""

    name: str
    base_url: str | None
    key: str | None
    auth: Mapping[str, str]
    user_agent: str
    timeout: float

    def __repr__(self) -> str:
        """Without the key."""
        return f"Endpoint({self.name!r}, {self.base_url!r})"


class Http:
    """One provider's connections. `clock` is only asked where a Retry-After is a date."""

    def __init__(self, endpoint: Endpoint, *, clock: Callable[[], datetime]) -> None:
        """Raises ConfigError if the key cannot stand in a header or the base URL is none."""
        _check_endpoint(endpoint)
        self._endpoint = endpoint
        self._clock = clock
        self._base = (endpoint.base_url or "").rstrip("/")
        self._kept = _new_client(endpoint, keep=20)
        self._fresh = _new_client(endpoint, keep=0)

    def __repr__(self) -> str:
        return f"Http({self._endpoint.name!r})"

    @property
    def is_configured(self) -> bool:
        """Whether there is a base URL and a key."""
        return bool(self._base and self._endpoint.key)

    async def ask(self, read: Callable[[Answer], Update], method: str, path: str, *, json: Mapping[str, Any] | None = None,
                  params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
                  max_bytes: int = JSON_BYTES, fresh: bool = False) -> Update:
        """Request, then let `read` (pure; raises ProviderError) make an Update of the answer. Whatever comes out, the update's
        messages or the error's, is free of the key. Parameters as in `request`."""
        answer = await self.request(method, path, json=json, params=params, headers=headers, max_bytes=max_bytes, fresh=fresh)
        try:
            return self.without_key(read(answer))
        except ProviderError as exc:
            raise ProviderError(exc.reason, self.hide(exc.message), fate=exc.fate, retry_after=exc.retry_after,
                                provider_code=exc.provider_code and self.hide(exc.provider_code)) from None

    async def request(self, method: str, path: str, *, json: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None,
                      headers: Mapping[str, str] | None = None, max_bytes: int = JSON_BYTES, fresh: bool = False) -> Answer:
        """One request and its whole answer, whatever its status. `path` begins with a slash and is put behind the base URL
        as it is; `json` is sent as the body. `fresh`: over a connection of its own (for submissions).
        Raises ProviderError: NOT_ACCEPTED if surely nothing was sent, else UNKNOWN; REFUSED without a key."""
        if not self.is_configured:
            raise ProviderError(ErrorCode.AUTHENTICATION, f"{self._endpoint.name} is not configured here", fate=Fate.REFUSED)
        client = self._fresh if fresh else self._kept
        journey = _Journey()
        body = None if json is None else _encode(json)
        request = client.build_request(
            method, self._base + path, content=body, params=params, extensions={"trace": journey.follow},
            headers={**({"content-type": "application/json"} if body is not None else {}), **(headers or {})},
        )
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                return await _exchange(client, request, max_bytes, self._clock)
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise self._lost(ErrorCode.TIMEOUT, f"did not answer within {self._endpoint.timeout:g} s", sent=journey.sent) from exc
        except (httpx.HTTPError, httpx.StreamError, OSError, _TooLarge) as exc:  # a TLS failure while reading is an OSError
            raise self._lost(ErrorCode.PROVIDER_UNAVAILABLE, f"broke off: {_words(exc)}", sent=journey.sent, cause=exc) from exc

    def hide(self, text: str) -> str:
        """The text without the key, and without the beginning of one where a long text was cut."""
        key = self._endpoint.key
        if not key:
            return text
        text = text.replace(key, "***")
        cut = next((length for length in range(len(key) - 1, 3, -1) if text.endswith(key[:length] + "…")), 0)
        return f"{text[:-cut - 1]}***…" if cut else text

    def without_key(self, update: Update) -> Update:
        """The update, its error's words free of the key."""
        if update.error is None:
            return update
        code = update.error.provider_code
        error = msgspec.structs.replace(update.error, message=self.hide(update.error.message), provider_code=code and self.hide(code))
        return msgspec.structs.replace(update, error=error)

    async def aclose(self) -> None:
        await self._kept.aclose()
        await self._fresh.aclose()

    def _lost(self, reason: ErrorCode, message: str, *, sent: bool, cause: Exception | None = None) -> ProviderError:
        """No (whole) answer: UNKNOWN if the request was begun, else NOT_ACCEPTED."""
        name = self._endpoint.name
        if sent:
            return ProviderError(reason, self.hide(f"{name} {message}"), fate=Fate.UNKNOWN)
        why = f": {_words(cause)}" if cause else ""
        return ProviderError(ErrorCode.PROVIDER_UNAVAILABLE, self.hide(f"{name} could not be reached{why}"), fate=Fate.NOT_ACCEPTED)


def limits_for(config: ProviderConfig, default: Limits) -> Limits:
    """A provider's limits, where the operator did not set others."""
    return Limits(
        max_concurrent=default.max_concurrent if config.max_concurrent is None else config.max_concurrent,
        rate=default.rate if config.rate is None else config.rate,
        queries=default.queries,
    )


class _Journey:
    """How far one request came."""

    def __init__(self) -> None:
        self.sent = False

    async def follow(self, name: str, info: Mapping[str, Any]) -> None:  # noqa: ARG002 -- httpcore's signature
        if name.endswith("send_request_headers.started"):
            self.sent = True


class _TooLarge(Exception):
    """An answer larger than we take."""


async def _exchange(client: httpx.AsyncClient, request: httpx.Request, max_bytes: int, clock: Callable[[], datetime]) -> Answer:
    response = await client.send(request, stream=True)
    try:
        body = await _read(response, max_bytes)
    finally:
        await response.aclose()
    headers = {name.lower(): value for name, value in response.headers.items()}
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    retry_after = read_retry_after(headers.get("retry-after"), clock())
    return Answer(status=response.status_code, headers=headers, body=body, content_type=content_type,
                  retry_after=retry_after.total_seconds() if retry_after else None)


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            raise _TooLarge(f"more than {max_bytes} bytes")
    return bytes(body)


def _encode(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise ProviderError(ErrorCode.INVALID_REQUEST, "the request cannot be written as JSON", fate=Fate.REFUSED) from exc


def _words(exc: Exception) -> str:
    return f"{str(exc)[:200] or 'no details'} ({type(exc).__name__.lstrip('_')})"


def _check_endpoint(endpoint: Endpoint) -> None:
    prefix = f"RELAY_{endpoint.name.upper()}_"
    problems = []
    if endpoint.key and not _VISIBLE.fullmatch(endpoint.key):
        problems.append(FieldProblem(f"{prefix}API_KEY", "must be visible ASCII characters without spaces"))
    if endpoint.base_url and not _is_base_url(endpoint.base_url):
        problems.append(FieldProblem(f"{prefix}BASE_URL", "must be an http(s) URL without credentials, query and fragment"))
    if problems:
        raise ConfigError(problems)


def _is_base_url(text: str) -> bool:
    try:
        url = httpx.URL(text)
        is_plain = not (url.userinfo or url.query or url.fragment) and (url.port or 0) <= 65535
        return url.scheme in ("http", "https") and bool(url.host) and is_plain
    except (httpx.InvalidURL, ValueError):  # the latter of a host whose punycode is none
        return False


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all: loading the certificates takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)


def _new_client(endpoint: Endpoint, *, keep: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": endpoint.user_agent, **endpoint.auth},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=keep, keepalive_expiry=_IDLE_SECONDS),
        timeout=httpx.Timeout(None, connect=min(_CONNECT_SECONDS, endpoint.timeout / 2)),
        trust_env=False, follow_redirects=False, verify=_tls(),
    )
