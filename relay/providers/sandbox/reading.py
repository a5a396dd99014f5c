"""Reading what a client sends, however wrong it is: a body within its size and its time, then JSON or a form of it."""

import asyncio
from typing import Any, Final

import msgspec
from starlette.requests import Request

from relay.errors import TooLarge
from relay.providers import form
from relay.providers.sandbox.refusal import Refused, Why

MAX_BODY_BYTES: Final = 32 * 1024 * 1024


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, seconds: float) -> bytes:
    """The whole body. Raises Refused if it is larger than 32 MiB or not there within `seconds`; ClientDisconnect if the
    client goes away. What is too much is read to its end and thrown away: a server that hangs up on a client that is still
    sending takes its own answer with it."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MAX_BODY_BYTES:
                    body += chunk
                else:
                    body.clear()
    except TimeoutError as exc:
        raise Refused(Why.LATE, f"The body did not arrive within {seconds:g} s") from exc
    if size > MAX_BODY_BYTES:
        raise Refused(Why.LARGE, f"The body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB")
    return bytes(body)


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises Refused for everything else: no JSON, bad UTF-8, numbers out of range, nesting too deep."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError, OverflowError) as exc:
        raise Refused(Why.BODY, "The body is not valid JSON") from exc
    if not isinstance(value, dict):
        raise Refused(Why.BODY, "The body must be a JSON object")
    return value


async def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a multipart form, as text. Raises Refused."""
    try:
        return await form.read_form(content_type, body)
    except TooLarge as exc:
        raise Refused(Why.LARGE, exc.message) from exc
    except ValueError as exc:
        raise Refused(Why.BODY, str(exc)) from exc
