"""What YEScale says, read: an answer in, an Update or a ProviderError out, and nothing else whatever the bytes are.

The connection is held until the pictures are there, so an answer of the gateway itself is the end of it: pictures, or
OpenAI's error envelope. Gateways of this family also send that envelope with 200. A 5xx tells nothing about the work behind
it, unless it is a 500 with the envelope or names a refusal by its code.
"""

import base64
import binascii
from datetime import datetime
from typing import Any, Final

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode, Picture, TaskStatus, Update
from relay.net.picture import picture_type
from relay.providers.answer import Answer, decode_json, error_text, failed, id_at, is_link, is_moderation, refusal
from relay.providers.yescale import wire

_WORDS_COUNT: Final = frozenset({200, 400, 403, 404, 422, 500})
"""Statuses under which a refusal of content was seen, told by its words alone."""


def read_pictures(answer: Answer, *, now: datetime) -> Update:
    """The answer to the call. Raises ProviderError for everything but a 200 without `error`."""
    document = _document(answer)
    if answer.status != 200 or document.get("error"):
        raise _refusal(answer, document)
    request_id = id_at(dict(answer.headers), wire.REQUEST_ID_HEADER)
    pictures = _pictures(document.get("data"), now)
    if pictures:
        return Update(status=TaskStatus.SUCCEEDED, provider_task_id=request_id, pictures=pictures)
    error = failed(ErrorCode.PROVIDER_ERROR, error_text(document) or "YEScale answered 200 without a picture", "200")
    return Update(status=TaskStatus.FAILED, provider_task_id=request_id, error=error)


def _pictures(data: Any, now: datetime) -> tuple[Picture, ...]:  # noqa: ANN401 -- whatever stands there
    """Those that can be used, in order; fewer than asked for are better than none."""
    items = data if isinstance(data, list) else []
    found = [_picture(item, now) for item in items if isinstance(item, dict)]
    return tuple(picture for picture in found if picture is not None)


def _picture(item: dict[str, Any], now: datetime) -> Picture | None:
    data = _unpacked(item.get("b64_json"))
    content_type = picture_type(data)
    if content_type is not None:
        return Picture(data=data, content_type=content_type)
    url = item.get("url")
    return Picture(url=url, expires_at=now + wire.LINK_LIFETIME) if isinstance(url, str) and is_link(url) else None


def _unpacked(text: Any) -> bytes:  # noqa: ANN401
    """The bytes inside base64, with or without a `data:` prefix; empty if it is none."""
    if not isinstance(text, str):
        return b""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _refusal(answer: Answer, document: dict[str, Any]) -> ProviderError:
    reason = _named_reason(answer, document)
    code = id_at(document, "error", "code") or str(answer.status)
    if reason is None:
        return refusal(answer, {}, held=True, provider_code=code)
    return ProviderError(reason, answer.error_text(), fate=Fate.REFUSED, provider_code=code)


def _named_reason(answer: Answer, document: dict[str, Any]) -> ErrorCode | None:
    """The reason that the gateway names in the envelope; None where only the status tells."""
    names = {id_at(document, "error", "code"), id_at(document, "error", "type")}
    if names & wire.QUOTA_CODES:  # under 429 too, where waiting would not help
        return ErrorCode.INSUFFICIENT_CREDITS
    if names & wire.MODERATION_CODES or (answer.status in _WORDS_COUNT and is_moderation(answer.error_text())):
        return ErrorCode.MODERATED
    if answer.status in (200, 500) and document.get("error"):
        return ErrorCode.PROVIDER_ERROR
    return None


def _document(answer: Answer) -> dict[str, Any]:
    try:
        value = decode_json(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
