"""One entry per method and path: what it needs, what it takes, what it answers. The routes and the OpenAPI document are both
made from these entries, so neither can know of something the other does not.

A request passes in this order: who is it (401, 403), is the id one at all (404), query (422), body (400, 413, 415, 422), handler.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from relay.errors import Malformed, NotFound, RequestError
from relay.model import Scope
from relay.ports import Caller
from relay.view import to_json
from relay.web.auth import admit
from relay.web.body import MEBIBYTE, read_json
from relay.web.parts import Web
from relay.web.shape import read_query, read_shape

Query = TypeVar("Query", bound=Struct)
Body = TypeVar("Body", bound=Struct)

_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_NOBODY: Final = Caller(account_id="", account_name="", key_id="", key_name="", scopes=())


class NoQuery(Struct, frozen=True):
    """Takes no query parameters."""


class NoBody(Struct, frozen=True):
    """Takes no body."""


class Call(Struct, Generic[Query, Body], frozen=True, kw_only=True):
    """A request that may come in, read. `raw`: the body's JSON as it was sent. Where a body is optional and absent, `body` holds
    the defaults."""

    web: Web
    request: Request
    caller: Caller
    query: Query
    body: Body
    raw: Any = None

    @property
    def account_id(self) -> str:
        return self.caller.account_id

    def id_of(self, name: str) -> str:
        """The id in the path."""
        return str(self.request.path_params[name])


class Answer(Struct, frozen=True, kw_only=True):
    """What an operation may answer with. `shape`: the struct in the body; `or_shape`: it may be that one instead; `is_page`,
    `is_array`: many of them. Without a shape it is `media_type`."""

    means: str
    shape: type[Struct] | None = None
    or_shape: type[Struct] | None = None
    is_page: bool = False
    is_array: bool = False
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """`needs`: the scope; None: any key. `is_open`: no key at all, and query parameters of others are overlooked.
    `problems`: the errors beyond those that follow from what it takes. `example`: a body. `takes_raw_body`: the handler reads it."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    handle: Callable[[Call[Any, Any]], Awaitable[ASGIApp]]
    answers: dict[int, Answer]
    description: str = ""
    needs: Scope | None = None
    is_open: bool = False
    query: type[Struct] = NoQuery
    body: type[Struct] = NoBody
    is_body_optional: bool = False
    max_body_bytes: int = MEBIBYTE
    headers: tuple[str, ...] = ()
    problems: tuple[type[RequestError], ...] = ()
    example: Any = None
    takes_raw_body: bool = False

    @property
    def takes_body(self) -> bool:
        return self.body is not NoBody


def make_routes(operations: Sequence[Operation], web: Web) -> list[Route]:
    """One route per path that takes every method, so that a wrong one is answered with all that are right, and no path with an
    id in it catches what `/tasks/watch` refuses. Paths without ids come first."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in sorted(operations, key=lambda operation: "{" in operation.path):
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [Route(path, _Endpoint(web, group)) for path, group in by_path.items()]


class _Endpoint:
    """All operations of one path."""

    def __init__(self, web: Web, operations: dict[str, Operation]) -> None:
        self._web = web
        self._operations = operations

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            raise HTTPException(405, headers={"allow": ", ".join(self._allowed())})
        response = await perform(operation, self._web, Request(scope, receive, send))
        await response(scope, receive, send)

    def _allowed(self) -> list[str]:
        return sorted({*self._operations, *({"HEAD"} if "GET" in self._operations else ())})


async def perform(operation: Operation, web: Web, request: Request) -> ASGIApp:
    """Read the request as the operation asks for, and answer it. Raises RelayError."""
    caller = _NOBODY
    if not operation.is_open:
        caller = await admit(web.gate, request, operation.needs)
        _check_ids(request)
    query = _read_query(operation, request)
    raw = await read_json(request, operation.max_body_bytes) if operation.takes_body else None
    body = _read_body(operation, raw)
    return await operation.handle(Call(web=web, request=request, caller=caller, query=query, body=body, raw=raw))


def _check_ids(request: Request) -> None:
    for value in request.path_params.values():
        if not _ID.fullmatch(value):
            raise NotFound


def _read_query(operation: Operation, request: Request) -> Struct:
    pairs = request.query_params.multi_items() if request.scope["query_string"] else []
    if operation.is_open:
        pairs = [(name, value) for name, value in pairs if name in operation.query.__struct_fields__]
    return read_query(pairs, operation.query)


def _read_body(operation: Operation, raw: Any) -> Struct:  # noqa: ANN401 -- JSON can be anything
    if not operation.takes_body:
        return NoBody()
    if raw is msgspec.UNSET and not operation.is_body_optional:
        raise Malformed("The body is empty; a JSON object is expected.")
    return read_shape({} if raw is msgspec.UNSET else raw, operation.body)


def answer_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:  # noqa: ANN401 -- anything that msgspec can encode
    return Response(to_json(value), status, headers, "application/json")
