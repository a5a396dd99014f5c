"""The drop-ins as one piece of the site: found by the path `/dropin/NAME/…`, or by the host name that the operator gave to one.

Each request becomes a Visit. What its handler gives, or raises, is put on the line; then it is recorded whether the app was still there to
take it. That an app is to come again is recorded before it hears of it.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.errors import StoreError
from relay.providers.dropin.dialect import Dialect, Endpoint
from relay.providers.dropin.directory import Directory, Found
from relay.providers.dropin.house import House
from relay.providers.dropin.line import Line
from relay.providers.dropin.trouble import headers_for, refused_for
from relay.providers.dropin.visit import Visit
from relay.providers.refusal import Refused, Why

_log = logging.getLogger(__name__)

_PREFIX: Final = "/dropin"
_LONGEST_PAUSE: Final = 5.0
_FIRST_RECORDED: Final = 1.0
"""Seconds that who is to come again waits for that to be recorded: it may come at once, and to another process."""


class _Place(NamedTuple):
    """Where a request goes: which reception, its path below the provider's base URL, and the base of URLs for the app."""

    reception: "_Reception"
    path: str
    origin: str


class Front:
    """Middleware around the rest of the site. `hosts`: host name -> drop-in."""

    def __init__(self, app: ASGIApp, *, dialects: Iterable[Dialect], house: House, hosts: Mapping[str, str]) -> None:
        self._app = app
        self._house = house
        self._receptions = {dialect.name: _Reception(dialect, house) for dialect in dialects}
        self._hosts = {host: self._receptions[name] for host, name in hosts.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = self._place(scope) if scope["type"] == "http" else None
        if place is None:
            await self._app(scope, receive, send)
        else:
            await place.reception.receive(place.path, place.origin, scope, receive, send)

    def _place(self, scope: Scope) -> _Place | None:
        if self._hosts and (place := self._place_by_host(scope)):
            return place
        path: str = scope["path"]
        if not path.startswith(f"{_PREFIX}/"):
            return None
        name, slash, rest = path[len(_PREFIX) + 1:].partition("/")
        reception = self._receptions.get(name)
        return _Place(reception, f"{slash}{rest}", f"{self._house.public_url}{_PREFIX}/{name}") if reception else None

    def _place_by_host(self, scope: Scope) -> _Place | None:
        """The host is one of those that the operator named; of what the app wrote only the port is believed."""
        written = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        try:
            host, port = urlsplit(f"//{written}").hostname or "", urlsplit(f"//{written}").port
        except ValueError:
            return None
        reception = self._hosts.get(host)
        origin = f"{urlsplit(self._house.public_url).scheme}://{host}{f':{port}' if port else ''}"
        return _Place(reception, scope["path"], origin) if reception else None


class _Reception:
    """Takes all requests to one dialect."""

    def __init__(self, dialect: Dialect, house: House) -> None:
        self._dialect = dialect
        self._house = house
        self._directory = Directory(dialect.endpoints())
        base = f"{_PREFIX}/{dialect.name}"
        self._routes = {endpoint.path: Route(base + endpoint.path, self.receive) for endpoint in dialect.endpoints()}
        self._elsewhere = Route(f"{base}/*", self.receive)  # for those who count requests by their route

    async def receive(self, path: str, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._directory.find(path)
        endpoint = found.endpoints.get("GET" if scope["method"] == "HEAD" else scope["method"])
        scope["route"] = self._routes[endpoint.path] if endpoint else self._elsewhere
        line = Line(scope, receive, send)
        visit = Visit(self._house, line, Request(scope, receive), name=self._dialect.name, path=found.values, origin=origin)
        is_taken, leaving = False, None
        try:
            answer, is_the_end = await self._answer(visit, endpoint, found)
            answer.headers.update(visit.headers)
            if visit.task_id is not None and not is_the_end:
                leaving = self._leave(visit.task_id, is_taken=False)
                await asyncio.wait((leaving,), timeout=_FIRST_RECORDED)
            is_taken = await line.answer(answer) and is_the_end
        finally:
            await line.close()
            if visit.task_id is not None:
                await asyncio.shield(leaving or self._leave(visit.task_id, is_taken=is_taken))

    async def _answer(self, visit: Visit, endpoint: Endpoint | None, found: Found) -> tuple[Response, bool]:
        """And whether it is what became of the task, rather than that nothing can be said of it yet."""
        try:
            return await _handled(visit, endpoint, found), True
        except ClientDisconnect:
            raise
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the app hears of it in its provider's words
            refused = refused_for(exc, self._dialect.names, visit.task_id)
        visit.headers |= headers_for(refused)
        if refused.why is Why.METHOD:
            visit.headers["allow"] = ", ".join(sorted(found.endpoints))
        return self._dialect.refuse(refused), refused.error is not None

    def _leave(self, task_id: str, *, is_taken: bool) -> asyncio.Task[None]:
        return asyncio.create_task(self._record_leaving(task_id, is_taken=is_taken), name=f"the end of the call for {task_id}")

    async def _record_leaving(self, task_id: str, *, is_taken: bool) -> None:
        """It is not known how the store fares, and a call that stays attended would be paid again when it is repeated."""
        self._house.meter.count("relay_dropin_calls_total", dropin=self._dialect.name, end="taken" if is_taken else "left")
        pause = 0.1
        while True:
            try:
                await self._house.store.leave(task_id, taken=is_taken, now=self._house.clock())
            except StoreError as exc:
                _log.warning("that the caller of %s is gone cannot be recorded yet: %s", task_id, exc)
                if self._house.stopping.is_set():
                    return
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


async def _handled(visit: Visit, endpoint: Endpoint | None, found: Found) -> Response:
    if endpoint is None:
        raise Refused(Why.METHOD, "Method Not Allowed") if found.endpoints else Refused(Why.PATH, "Not Found")
    if endpoint.needs is not None:
        await visit.caller(endpoint.needs)
    return await endpoint.handle(visit)
