"""Reading a multipart form, as Segmind's clients send it: to the sandbox, and to Relay where it stands in for Segmind.

A form that breaks off before its last boundary is no form: a client that failed in the middle of its body (form-data does, at a
boolean) must not have half a request carried out.
"""

import re
from collections.abc import AsyncGenerator
from typing import Final

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from relay.errors import TooLarge

_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_FIELDS: Final = 100
_MAX_BYTES: Final = 1024 * 1024
"""Far more than texts need; and a form is read in one go, while everybody else waits."""


async def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form, as text; of a name that comes twice the last. Files are passed over. Raises TooLarge; ValueError, in
    words for the client."""
    if len(body) > _MAX_BYTES:
        raise TooLarge(f"A form may have {_MAX_BYTES // 1024 // 1024} MiB")
    match = _BOUNDARY.search(content_type)
    boundary = (match.group(1) or match.group(2)) if match else ""
    if not boundary or not body.rstrip(b"\r\n").endswith(f"--{boundary}--".encode(errors="replace")):
        raise ValueError("The form is incomplete")
    headers = Headers({"content-type": content_type})
    parser = MultiPartParser(headers, _once(body), max_files=_FIELDS, max_fields=_FIELDS, max_part_size=max(1, len(body)))
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as exc:
        raise ValueError("The form is not valid") from exc
    try:
        return {name: value for name, value in form.multi_items() if isinstance(value, str)}
    finally:
        await form.close()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
