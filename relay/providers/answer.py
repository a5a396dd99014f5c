"""Reading what a provider answered, tolerantly and without surprises: pure functions over bytes that raise ProviderError and
nothing else.

The places where providers put the words of an error are those that one-api and new-api collected from the gateways they
front (relay/controller/error.go), FastAPI's `detail` (Black Forest Labs and gateways of its shape) and APIFRAME's
`errors[].msg`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode, TaskError

_TEXT_CHARACTERS: Final = 500
_PLAIN_LINK: Final = re.compile(r"https?://[\w.:-]+(?:[/?#].*)?", re.ASCII)
_MODERATED: Final = re.compile(r"moderat|nsfw|safety|content[ _]polic(?:y|ies)", re.IGNORECASE)
_TEXT_PATHS: Final = (
    ("error", "message"), ("message",), ("msg",), ("err",), ("error_msg",), ("error_description",), ("detail",), ("errors",),
    ("header", "message"), ("response", "error", "message"), ("error",),  # a bare `error` is often only a code
)


class Answer(Struct, frozen=True, kw_only=True):
    """What came back. Header names are lower case; `content_type` is lower case and without parameters; `retry_after` in
    seconds, whichever form the header had."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    content_type: str = ""
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:  # noqa: ANN401 -- any JSON
        """The body as JSON. Raises ProviderError (UNKNOWN: whatever was asked may have happened)."""
        try:
            return decode_json(self.body)
        except ValueError as exc:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"the provider's answer (HTTP {self.status}) is not JSON",
                                fate=Fate.UNKNOWN) from exc

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ProviderError as `json` does."""
        value = self.json()
        if not isinstance(value, dict):
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"the provider's answer (HTTP {self.status}) is no JSON object",
                                fate=Fate.UNKNOWN)
        return value

    def error_text(self) -> str:
        """What the body says went wrong, in at most 500 characters; without words, its status."""
        try:
            text = error_text(decode_json(self.body))
        except ValueError:
            text = _plain(self)
        return text or f"HTTP {self.status} without an explanation"


def decode_json(body: bytes) -> Any:  # noqa: ANN401 -- any JSON
    """JSON, or ValueError for everything that is none: bad UTF-8, numbers out of range, nesting too deep, emptiness."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError, OverflowError) as exc:
        raise ValueError("not JSON") from exc


def error_text(value: object) -> str:
    """The first words of an error that a decoded answer holds, tidied; empty if there are none."""
    for path in _TEXT_PATHS:
        text = tidy("; ".join(_words(_dig(value, path))))
        if text:
            return text
    return ""


def tidy(text: str) -> str:
    """One line of at most 500 characters, without control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:4 * _TEXT_CHARACTERS]).split())
    return line if len(line) <= _TEXT_CHARACTERS else line[:_TEXT_CHARACTERS - 1] + "…"


def is_moderation(text: str) -> bool:
    """Whether an error's words speak of moderation."""
    return bool(_MODERATED.search(text))


def refusal(answer: Answer, reasons: Mapping[int, ErrorCode], *, held: bool = False, provider_code: str | None = None) -> ProviderError:
    """What an answer that is no success means for a submission.

    429, and 503 of a provider that does not hold the connection: NOT_ACCEPTED. Every other 4xx but 408 (the provider read
    and refused): REFUSED, with the reason that `reasons` gives for the status, else `invalid_request`; an invalid_request
    whose text speaks of moderation is `moderated`. What is left (3xx, 408, 5xx): UNKNOWN, it may run.
    """
    reason = reason_for(answer, reasons)
    if answer.status == 429 or (answer.status == 503 and not held):
        fate = Fate.NOT_ACCEPTED
    elif 400 <= answer.status < 500 and answer.status != 408:
        fate = Fate.REFUSED
    else:
        fate = Fate.UNKNOWN
    return ProviderError(reason, answer.error_text(), fate=fate, provider_code=provider_code or str(answer.status),
                         retry_after=answer.retry_after)


def no_result(answer: Answer, reasons: Mapping[int, ErrorCode]) -> ProviderError:
    """What an answer that is no success means for a query: asking failed, the task may well run (UNKNOWN)."""
    return ProviderError(reason_for(answer, reasons), answer.error_text(), fate=Fate.UNKNOWN, provider_code=str(answer.status),
                         retry_after=answer.retry_after)


def reason_for(answer: Answer, reasons: Mapping[int, ErrorCode]) -> ErrorCode:
    """The reason that stands for the status of an answer, its words considered."""
    reason = reasons.get(answer.status) or _usual_reason(answer.status)
    if reason is ErrorCode.INVALID_REQUEST and is_moderation(answer.error_text()):
        return ErrorCode.MODERATED
    return reason


def failed(reason: ErrorCode, text: str, provider_code: str | None = None) -> TaskError:
    """The error of a failed task. `provider_error` whose text speaks of moderation is `moderated`."""
    if reason is ErrorCode.PROVIDER_ERROR and is_moderation(text):
        reason = ErrorCode.MODERATED
    return TaskError(code=reason, message=tidy(text) or "the provider gave no reason", provider_code=provider_code)


def text_at(value: object, *path: str) -> str | None:
    """The text at a path of keys, byte for byte; None where there is none, or an empty one."""
    found = _dig(value, path)
    return found if isinstance(found, str) and found else None


def id_at(value: object, *path: str) -> str | None:
    """An id at a path of keys: text or an integer, at most 255 visible characters; else None."""
    found = _dig(value, path)
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 2**63:
        return str(found)
    if isinstance(found, str) and 0 < len(found) <= 255 and found.isprintable() and not found.isspace():
        return found
    return None


def number_at(value: object, *path: str) -> float | None:
    """A finite number at a path of keys (or text that spells one, with a percent sign or without); else None."""
    found = _dig(value, path)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        number = float(found.rstrip("% ")) if isinstance(found, str) else float(found)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e15 else None


def percent_at(value: object, *path: str, fraction: bool) -> int | None:
    """Progress at a path of keys as 0 to 100. `fraction`: a number up to 1 is a share of the whole."""
    number = number_at(value, *path)
    if number is None:
        return None
    return int(min(max(number * 100 if fraction and number <= 1 else number, 0), 100))


def is_link(text: str | None) -> bool:
    """Whether this can be the link to a picture: http(s), with a host, no spaces."""
    if not text or len(text) > 8192 or not text.isprintable() or " " in text:
        return False
    if _PLAIN_LINK.fullmatch(text):  # nearly all are, and urlsplit takes its time
        return True
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def signed_until(url: str) -> datetime | None:
    """When a signed link of Azure's shape expires: its `se` parameter (ISO time); None without."""
    if "se=" not in url:
        return None
    try:
        value = parse_qs(urlsplit(url).query).get("se", [""])[0]
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _plain(answer: Answer) -> str:
    """The words of a body that is no JSON; a page of HTML has none for us."""
    text = answer.body[:4 * _TEXT_CHARACTERS].decode("utf-8", "replace")
    return "" if "html" in answer.content_type or text.lstrip().startswith("<") else tidy(text)


def _dig(value: object, path: tuple[str, ...]) -> Any:  # noqa: ANN401 -- any JSON
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _words(value: object) -> Iterator[str]:
    """The texts of an error: itself, or those of a list of texts and of objects with `msg` or `message` (and FastAPI's `loc`)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value[:10]:
            yield from _item_words(item)


def _item_words(item: object) -> Iterator[str]:
    text = item if isinstance(item, str) else text_at(item, "msg") or text_at(item, "message")
    if not text:
        return
    loc = _dig(item, ("loc",))
    where = ".".join(str(part) for part in loc[:8] if isinstance(part, str) and part != "body") if isinstance(loc, list) else ""
    yield f"{where}: {text}" if where else text


def _usual_reason(status: int) -> ErrorCode:
    match status:
        case 401 | 403:
            return ErrorCode.AUTHENTICATION
        case 402:
            return ErrorCode.INSUFFICIENT_CREDITS
        case 429:
            return ErrorCode.RATE_LIMITED
        case 502 | 503 | 504:
            return ErrorCode.PROVIDER_UNAVAILABLE
        case _ if 400 <= status < 500:
            return ErrorCode.INVALID_REQUEST
        case _:
            return ErrorCode.PROVIDER_ERROR
