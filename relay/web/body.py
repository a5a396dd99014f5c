"""Reading what a request brings: bounded in size, time, depth and characters, before anything believes it.

The size is counted as bytes arrive, whatever Content-Length says. The time grows with what has arrived, so a large picture on a
slow line comes through, and a client that drips bytes does not hold us. NUL is refused everywhere: databases and log
readers disagree about it.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from relay.errors import FieldProblem, Invalid, Late, Malformed, TooLarge, UnsupportedMediaType

MEBIBYTE: Final = 1024 * 1024
IS_WHOLE: Final = "relay.is_whole"
"""Stands in the scope of a request that the server has all of: the next message, which is there, brings what is left of its body."""
_PATIENCE: Final = 30.0
_SLOWEST: Final = 64 * 1024
"""Bytes a second below which a long body is given up."""
_DEEPEST: Final = 64
_LARGEST_INTEGER: Final = 2**63
_MOST_VALUES: Final = 50_000
"""Marks that begin or part values, those inside strings too: a value of two bytes takes a hundred in memory, and time to check."""


def read_bytes(request: Request, max_bytes: int) -> Coroutine[Any, Any, bytes]:
    """The whole body. Raises TooLarge; Malformed if it does not arrive."""
    return read_whole(request.scope, request.receive, max_bytes)


async def read_whole(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """The same without a Request. Nothing is waited for, and so no time is kept, where the server has all of it."""
    if IS_WHOLE not in scope:
        return await _gather(scope, receive, max_bytes)
    body = _chunk_of(await receive())
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _gather(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    announced = Headers(scope=scope).get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    received = 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(start + _PATIENCE) as patience:
            while True:
                message = await receive()
                chunk = _chunk_of(message)
                received += len(chunk)
                if received > max_bytes:
                    raise _too_large(max_bytes)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    break
                patience.reschedule(start + _PATIENCE + received / _SLOWEST)
    except TimeoutError as exc:
        raise Late from exc
    return b"".join(chunks)


def _chunk_of(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    chunk: bytes = message.get("body", b"")
    return chunk


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body may hold {max_bytes // MEBIBYTE} MiB.")


async def read_json(request: Request, max_bytes: int) -> Any:  # noqa: ANN401 -- JSON can be anything
    """The JSON value in the body, or UNSET if there is no body at all. Raises UnsupportedMediaType, TooLarge, Malformed, Invalid."""
    _check_encoding(request)
    body = await read_bytes(request, max_bytes)
    if not body:
        return msgspec.UNSET
    _check_media_type(request)
    return read_value(body)


def read_value(body: bytes) -> Any:  # noqa: ANN401 -- JSON can be anything
    """The JSON value that these bytes are. Raises Malformed, Invalid."""
    value = _decode(body)
    _check_values(value)
    return value


async def read_plain(request: Request, max_bytes: int) -> bytes:
    """The whole body, as it was written. Raises UnsupportedMediaType, TooLarge, Malformed."""
    _check_encoding(request)
    return await read_bytes(request, max_bytes)


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMediaType(f"A body with content-encoding {encoding[:40]!r} is not taken; send it plain.")


def _check_media_type(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.replace('"', "").replace(" ", "").lower()
    is_other_charset = charset.startswith("charset=") and charset not in ("charset=utf-8", "charset=utf8")
    if media_type.strip().lower() != "application/json" or is_other_charset:
        raise UnsupportedMediaType("The body must be JSON in UTF-8, sent with `Content-Type: application/json`.")


def _decode(body: bytes) -> Any:  # noqa: ANN401 -- JSON can be anything
    if sum(body.count(mark) for mark in (b"[", b"{", b",")) > _MOST_VALUES:
        raise Malformed(f"The JSON holds more than {_MOST_VALUES} values.")
    try:
        return msgspec.json.decode(body)
    except RecursionError as exc:
        raise Malformed(f"The JSON is nested more than {_DEEPEST} levels deep.") from exc
    except UnicodeDecodeError as exc:
        raise Malformed(f"The body is not UTF-8: {exc.reason} at byte {exc.start} of a string.") from exc
    except ValueError as exc:  # msgspec's errors, and Python's limit on the digits of an integer
        raise Malformed(f"The body is not JSON: {exc}.") from exc


def _check_values(value: Any) -> None:  # noqa: ANN401 -- JSON can be anything
    """By a stack of our own: a recursion would end where Python's does."""
    waiting: list[tuple[str, int, Any]] = [("", 0, value)]
    while waiting:
        path, depth, item = waiting.pop()
        if depth > _DEEPEST:
            raise Malformed(f"The JSON is nested more than {_DEEPEST} levels deep.")
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, int):
            _check_integer(path, item)
        elif isinstance(item, dict | list):
            waiting.extend((f"{path}.{name}" if path else name, depth + 1, child) for name, child in _children(item))


def _children(item: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(item, list):
        yield from ((str(index), child) for index, child in enumerate(item))
        return
    for name, child in item.items():
        _check_text(name)
        yield name, child


def _check_text(text: str) -> None:
    if "\0" in text:
        raise Malformed("The JSON holds the character NUL.")


def _check_integer(path: str, number: int) -> None:
    if not -_LARGEST_INTEGER <= number < _LARGEST_INTEGER:
        raise Invalid(errors=[FieldProblem(path, "must fit into 64 bits")])
