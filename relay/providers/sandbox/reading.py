"""Reading what a client sends, however wrong it is: a body within its size and its time, then JSON or a form of it."""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from relay.providers.sandbox.refusal import Refused, Why

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_FIELDS: Final = 100


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


async def read_form(content_type: str, body: bytes) -> dict[str, Any]:
    """The fields of a multipart form, as text; of a name that comes twice the last. Raises Refused, for a form that breaks off
    before its last boundary too."""
    match = _BOUNDARY.search(content_type)
    boundary = (match.group(1) or match.group(2)) if match else ""
    if not boundary or not body.rstrip(b"\r\n").endswith(f"--{boundary}--".encode(errors="replace")):
        raise Refused(Why.BODY, "The form is incomplete")
    headers = Headers({"content-type": content_type})
    parser = MultiPartParser(headers, _once(body), max_files=_FIELDS, max_fields=_FIELDS, max_part_size=MAX_BODY_BYTES)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as exc:
        raise Refused(Why.BODY, "The form is not valid") from exc
    try:
        return {name: value for name, value in form.multi_items() if isinstance(value, str)}
    finally:
        await form.close()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
