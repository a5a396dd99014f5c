"""Log lines: JSON for machines or text for people, one record each, on stderr.

Who logs must not log secrets in the first place; the redaction here is the last line of defence, over the finished line, so
that it covers arguments, extra fields and tracebacks alike. Control characters are escaped, because much of what is logged was
sent by strangers and must forge neither a line nor a terminal sequence. In text a traceback follows its record, indented.

Fields given as `extra={...}` become JSON fields, or ` key=value` in text. Our own records obey the level that was asked for;
libraries may speak from `warning` on.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

MASK: Final = "********"
_VALUE: Final = r"""[^\s"'\\,;&<>)}\]]+"""
_SECRETS: Final = (
    (re.compile(r"\b(rly_)[A-Za-z0-9_-]{4,}"), rf"\1{MASK}"),
    (re.compile(r"\b(whsec_|whsk_)[A-Za-z0-9+/=_-]{4,}"), rf"\1{MASK}"),
    (re.compile(rf"(?i)\b(bearer|basic)\s+{_VALUE}"), rf"\1 {MASK}"),
    (re.compile(r"""(/callbacks/[^/\s"']+/)[^\s"'\\,;&<>)}\]?#/]+"""), rf"\1{MASK}"),
    (re.compile(rf"(?i)([?&](?:token|signature|sig|key|api_key|apikey|secret|access_token)=){_VALUE}"), rf"\1{MASK}"),
    (re.compile(rf"""(?i)(["']?\b(?:x-api-key|x-webhook-secret|api_key|webhook_secret|callback_secret)["']?\s*[:=]\s*["']?){_VALUE}"""),
     rf"\1{MASK}"),
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up_logging(*, style: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (stderr). `style`: json or text; `level`: of our own records."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("relay").setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # the access log is ours, with tokens masked
        logger.setLevel(logging.NOTSET)
    logging.captureWarnings(capture=True)


def redact(text: str) -> str:
    """The text with everything masked that looks like a key, a signing secret or a capability."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the extra fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry.update((name, value) for name, value in _extra(record).items() if name not in entry)
        if trace := _trace(self, record):
            entry["exception"] = trace
        line = json.dumps(entry, ensure_ascii=False, default=str)
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", redact(line))


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value`, and a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        lines = [line, *("    " + part for part in _trace(self, record).split("\n") if part)]
        return "\n".join(_CONTROL.sub(lambda match: ascii(match[0])[1:-1], redact(part)) for part in lines)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS and not name.startswith("_")}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    trace = formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else record.exc_text or ""
    return trace + ("\n" + record.stack_info if record.stack_info else "")
