"""Log lines: JSON for machines or text for people, one record each, on stderr.

Who logs must not log secrets in the first place; the redaction here is the last line of defence, over the finished line, so
that it covers arguments, extra fields and tracebacks alike. Control characters are escaped, because much of what is logged was
sent by strangers and must forge neither a line nor a terminal sequence. In text a traceback follows its record, indented.

Fields given as `extra={...}` become JSON fields, or ` key=value` in text. Our own records obey the level that was asked for;
libraries may speak from `warning` on.
"""

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

from relay.observe.repetition import Repetitions

MASK: Final = "********"
_VALUE: Final = r"""[^\s"'\\,;&<>)}\]]+"""
_QUERY: Final = re.compile(rf"(?i)([?&](?:token|signature|sig|key|api_key|apikey|secret|access_token)=){_VALUE}"), rf"\1{MASK}"
_FIELD: Final = re.compile(
    rf"""(?i)(["']?\b(?:x-api-key|x-webhook-secret|api_key|webhook_secret|callback_secret)["']?\s*[:=]\s*["']?){_VALUE}"""), rf"\1{MASK}"
_SCHEME: Final = re.compile(rf"(?i)\b(bearer|basic)\s+{_VALUE}"), rf"\1 {MASK}"
_WEBHOOK_KEY: Final = re.compile(r"\b(whsec_|whsk_)[A-Za-z0-9+/=_-]{4,}"), rf"\1{MASK}"
_SECRETS: Final = (
    ("rly_", re.compile(r"\b(rly_)[A-Za-z0-9_-]{4,}"), rf"\1{MASK}"),
    ("whs", *_WEBHOOK_KEY),
    ("bearer", *_SCHEME), ("basic", *_SCHEME),
    ("/callbacks/", re.compile(r"""(/callbacks/[^/\s"']+/)[^\s"'\\,;&<>)}\]?#/]+"""), rf"\1{MASK}"),
    ("token=", *_QUERY), ("sig=", *_QUERY), ("signature=", *_QUERY), ("key=", *_QUERY), ("secret=", *_QUERY),
    ("api-key", *_FIELD), ("api_key", *_FIELD), ("webhook-secret", *_FIELD), ("webhook_secret", *_FIELD), ("callback_secret", *_FIELD),
)
"""What marks a secret, in lower case, and the pattern that is looked for where the mark is: finding no mark takes next to no time."""
_encoder: Final = msgspec.json.Encoder(enc_hook=str)  # it escapes the control characters of ASCII itself
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up_logging(*, style: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (stderr). `style`: json or text; `level`: of our own records."""
    handler = BatchHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.addFilter(Repetitions())
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
    logging._srcfile = None  # type: ignore[attr-defined,unused-ignore] # noqa: SLF001 -- logging's own documentation turns off so what no line tells: the place in the code
    logging.setLogRecordFactory(QuickRecord)


def redact(text: str) -> str:
    """The text with everything masked that looks like a key, a signing secret or a capability."""
    lowered = text.lower()
    for marker, pattern, replacement in _SECRETS:
        if marker in lowered:
            text = pattern.sub(replacement, text)
    return text


class QuickRecord(logging.LogRecord):
    """A record with nothing in what no line of ours tells: file, function, thread and process. To find those takes longer than all the
    rest. The fields are there, since a handler of somebody else's may name them."""

    def __init__(self, name: str, level: int, pathname: str, lineno: int, msg: object, args: Any, exc_info: Any,  # noqa: ANN401 -- as logging.LogRecord has it
                 func: str | None = None, sinfo: str | None = None, **_: Any) -> None:  # noqa: ANN401 -- as above
        self.name, self.levelno, self.levelname = name, level, logging.getLevelName(level)
        self.msg, self.args = msg, args[0] if args and len(args) == 1 and isinstance(args[0], dict) and args[0] else args
        self.pathname, self.lineno, self.funcName, self.stack_info = pathname, lineno, func or "", sinfo
        self.exc_info = exc_info
        self.exc_text = None
        self.created = time.time()
        self.msecs = self.created % 1 * 1000
        self.relativeCreated = 0.0
        self.filename = self.module = ""
        self.thread = self.threadName = self.process = self.processName = self.taskName = None


_QUICK_FIELDS: Final = len(vars(QuickRecord("", 0, "", 0, "", (), None)))


class BatchHandler(logging.StreamHandler[TextIO]):
    """What is logged in one turn of the event loop is written by one call, at its end; outside of a loop, at once."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._flushing_in: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 -- as logging does it: what cannot be logged must not stop the work
            self.handleError(record)
            return
        self._lines.append(line)
        if record.levelno >= logging.WARNING or not self._flushes_soon():
            self.flush()

    def _flushes_soon(self) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if loop is not self._flushing_in:  # one that was stopped before it came to that is no promise
            loop.call_soon(self.flush)
            self._flushing_in = loop
        return True

    def flush(self) -> None:
        """In order; to be called from any thread."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines, self._flushing_in = self._lines, [], None
            with contextlib.suppress(ValueError, OSError):  # whoever read the log is gone
                if lines:
                    self.stream.write("".join(lines))
                self.stream.flush()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the extra fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry.update((name, value) for name, value in _extra(record).items() if name not in entry)
        if trace := _trace(self, record):
            entry["exception"] = trace
        line = redact(_as_json(entry))
        return line if line.isascii() and "\x7f" not in line else _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def _as_json(entry: dict[str, Any]) -> str:
    try:
        return _encoder.encode(entry).decode()
    except UnicodeEncodeError:  # half a surrogate pair: what is left of a file name that is not UTF-8
        return json.dumps(entry, default=str)


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value`, and a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        lines = [line, *("    " + part for part in _trace(self, record).split("\n") if part)]
        return "\n".join(_CONTROL.sub(lambda match: ascii(match[0])[1:-1], redact(part)) for part in lines)


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@functools.lru_cache(maxsize=2)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    if type(record) is QuickRecord:  # what is added stands behind its own, and logging has refused the names of those
        return dict(itertools.islice(vars(record).items(), _QUICK_FIELDS, None))
    added = vars(record).items()
    return {name: value for name, value in added if name not in _OWN_FIELDS and not name.startswith("_")}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    trace = formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else record.exc_text or ""
    return trace + ("\n" + record.stack_info if record.stack_info else "")
