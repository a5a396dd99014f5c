"""Log lines: JSON for machines or text for people, one record each, on stderr.

Who logs must not log secrets in the first place; the redaction here is the last line of defence, over the finished lines, so
that it covers arguments, extra fields and tracebacks alike. Control characters are escaped, because much of what is logged was
sent by strangers and must forge neither a line nor a terminal sequence. In text a traceback follows its record, indented.

Fields given as `extra={...}` become JSON fields, or ` key=value` in text. Our own records obey the level that was asked for;
libraries may speak from `warning` on.

In an event loop what is no warning waits for a moment, so that many lines are made and written one right after another: made singly,
between all else that an event needs, each takes several times as long.
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
from types import NoneType
from typing import Any, Final, Protocol, TextIO

import msgspec

from relay.observe.repetition import Repetitions

MASK: Final = "********"
_VALUE: Final = r"""[^\s"'\\,;&<>)}\]]+"""
_QUERY: Final = re.compile(rf"(?i)([?&](?:token|signature|sig|key|api_key|apikey|secret|access_token)=){_VALUE}"), rf"\1{MASK}"
_FIELD: Final = re.compile(
    rf"""(?i)(["']?\b(?:x-api-key|x-webhook-secret|api_key|webhook_secret|callback_secret)["']?\s*[:=]\s*["']?){_VALUE}"""), rf"\1{MASK}"
_SCHEME: Final = re.compile(rf"(?i)\b(bearer|basic)\s+{_VALUE}"), rf"\1 {MASK}"
_WEBHOOK_KEY: Final = re.compile(r"\b(whsec_|whsk_)[A-Za-z0-9+/=_-]{4,}"), rf"\1{MASK}"
_CAPABILITY: Final = re.compile(r"""(/callbacks/[^/\s"']+/)(?!\*)[^\s"'\\,;&<>)}\]?#/]+"""), rf"\1{MASK}"  # none begins with a star
_SECRETS: Final = (
    ("rly_", re.compile(r"\b(rly_)[A-Za-z0-9_-]{4,}"), rf"\1{MASK}"),
    ("whs", *_WEBHOOK_KEY),
    ("bearer", *_SCHEME), ("basic", *_SCHEME),
    ("/callbacks/", *_CAPABILITY),
    ("?", *_QUERY), ("&", *_QUERY),
    ("api-key", *_FIELD), ("api_key", *_FIELD), ("secret", *_FIELD),
)
"""What marks a secret, in lower case, and the pattern that is looked for where the mark is: finding no mark takes next to no time."""
_MARKS: Final = [mark for mark, pattern, _ in _SECRETS if pattern is not _CAPABILITY[0]]
_encoder: Final = msgspec.json.Encoder(enc_hook=str)  # it escapes the control characters of ASCII itself
_formatter: Final = logging.Formatter()
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MOMENT: Final = 0.02  # seconds
_MOST_WAITING: Final = 1024
_UNCHANGING: Final = (str, int, float, datetime, NoneType)
_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up_logging(*, style: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (stderr). `style`: json or text; `level`: of our own records."""
    handler = BatchHandler(stream or sys.stderr, JsonLines() if style == "json" else TextLines())
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


def redact_lines(text: str) -> str:
    """Each line by itself, but only if any bears a mark. A capability that is masked already, as in many lines, is none."""
    lowered = text.lower()
    if any(map(lowered.__contains__, _MARKS)) or _CAPABILITY[0].search(text):
        return "\n".join(map(redact, text.split("\n")))
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


class Lines(Protocol):
    """How records are written."""

    def of(self, record: logging.LogRecord) -> str:
        """With its line break."""
        ...

    def finish(self, text: str) -> str:
        """The lines of several records as they may be seen."""
        ...


class BatchHandler(logging.StreamHandler[TextIO]):
    """Inside an event loop lines are made, finished and written by the batch, a moment later; outside of one, and warnings, at once."""

    def __init__(self, stream: TextIO, style: Lines) -> None:
        super().__init__(stream)
        self._style = style
        self._waiting: list[logging.LogRecord | str] = []
        self._flushing_in: asyncio.AbstractEventLoop | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the lock that logging takes here: a record goes to its place in one step. What is left out are warnings only."""
        passes = record.levelno < logging.WARNING or bool(self.filter(record))
        if passes:
            self.emit(record)
        return passes

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(record if _says_the_same_later(record) else self._line(record))
        if record.levelno >= logging.WARNING or len(self._waiting) >= _MOST_WAITING or not self._flushes_soon():
            self.flush()

    def _flushes_soon(self) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if loop is not self._flushing_in:  # one that was stopped before it came to that is no promise
            loop.call_later(_MOMENT, self.flush)
            self._flushing_in = loop
        return True

    def flush(self) -> None:
        """In order; to be called from any thread."""
        with self.lock or contextlib.nullcontext():
            self._flushing_in = None
            waiting = self._waiting[:]
            del self._waiting[:len(waiting)]  # others may have come behind them
            text = self._style.finish("".join([one if isinstance(one, str) else self._line(one) for one in waiting]))
            try:
                if text:
                    self.stream.write(text)
                self.stream.flush()
            except (ValueError, OSError):
                return  # whoever read the log is gone

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self._style.of(record)
        except Exception:  # noqa: BLE001 -- as logging does it: what cannot be logged must not stop the work
            self.handleError(record)
            return ""


def _says_the_same_later(record: logging.LogRecord) -> bool:
    """Whether nothing that it was given can change or go away."""
    if type(record) is not QuickRecord or record.exc_info or not isinstance(record.args, tuple):
        return False
    return all(map(_is_unchanging, map(type, (record.msg, *record.args, *_extra(record).values()))))


@functools.lru_cache(maxsize=256)
def _is_unchanging(kind: type) -> bool:
    return issubclass(kind, _UNCHANGING)


class JsonLines:
    """One JSON object a line: `time`, `level`, `logger`, `message`, the extra fields, `exception`."""

    def of(self, record: logging.LogRecord) -> str:
        own = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry = {**own, **_extra(record), **own}  # ours stand first, and no extra field takes the place of one
        if trace := _trace(record):
            entry["exception"] = trace
        return _as_json(entry) + "\n"

    def finish(self, text: str) -> str:
        text = redact_lines(text)
        return text if text.isascii() and "\x7f" not in text else "\n".join(map(_escaped, text.split("\n")))


def _as_json(entry: dict[str, Any]) -> str:
    try:
        return _encoder.encode(entry).decode()
    except UnicodeEncodeError:  # half a surrogate pair: what is left of a file name that is not UTF-8
        return json.dumps(entry, default=str)


def _escaped(line: str) -> str:
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


class TextLines:
    """`time LEVEL logger: message key=value`, and a traceback below it."""

    def of(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        lines = [line, *("    " + part for part in _trace(record).split("\n") if part)]
        return "".join(_CONTROL.sub(lambda match: ascii(match[0])[1:-1], redact(part)) + "\n" for part in lines)

    def finish(self, text: str) -> str:
        return text


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


def _trace(record: logging.LogRecord) -> str:
    trace = _formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else record.exc_text or ""
    return trace + ("\n" + record.stack_info if record.stack_info else "")
