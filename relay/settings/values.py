"""The kinds of values that settings have. Each function reads one from text, or raises ValueError saying what is allowed and
never what was given, since it may be a secret."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from relay.ports import Rate

SECRET_KEY_LENGTH: Final = 32
_LONGEST: Final = 3650 * 86400.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SWITCH: Final = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}


def read_text(text: str) -> str:
    """Anything."""
    return text


def integer(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers in a range, its ends included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def choice(*allowed: str) -> Callable[[str], str]:
    """A reader of one word out of several, in any case."""

    def read(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text.lower()

    return read


def read_switch(text: str) -> bool:
    """on, off and their usual spellings."""
    if text.lower() not in _SWITCH:
        raise ValueError("must be on or off")
    return _SWITCH[text.lower()]


def read_duration(text: str) -> float:
    """Seconds in `20s`, `5m`, `2h`, `30d` (`500ms` and `1.5s` too). Zero is a duration."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else -1
    if not 0 <= seconds <= _LONGEST:
        raise ValueError("must be a duration with its unit, such as 20s, 5m, 2h or 30d (at most 3650d)")
    return seconds


def read_span(text: str) -> float:
    """Seconds of a duration that is not zero."""
    seconds = read_duration(text)
    if not seconds:
        raise ValueError("must be longer than zero")
    return seconds


def read_durations(text: str) -> tuple[float, ...]:
    """A list of durations, in seconds."""
    return tuple(read_duration(part) for part in _parts(text))


def read_rate(text: str) -> Rate:
    """`20/10s`: so many in any such span."""
    count, _, span = text.partition("/")
    try:
        return Rate(integer(1, 1_000_000)(count), read_span(span))
    except ValueError:
        raise ValueError("must be a count per duration, such as 20/10s") from None


def read_url(text: str) -> str:
    """An address to which paths can be appended: without a trailing slash."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        fits = False
    if not fits or re.search(r"[^\x21-\x7e]|[?#]", text):
        raise ValueError("must be an http(s) URL in ASCII, without user name, query or fragment")
    return text.rstrip("/")


def read_cidrs(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """A list of networks."""
    try:
        return tuple(ip_network(part) for part in _parts(text))
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8 or fd00::/8, separated by commas") from None


def read_secret_keys(text: str) -> tuple[str, ...]:
    """A list of keys."""
    keys = _parts(text)
    if any(len(key) < SECRET_KEY_LENGTH for key in keys):
        raise ValueError(f"must be keys of at least {SECRET_KEY_LENGTH} characters, separated by commas, the newest first")
    return keys


def read_admin_key(text: str) -> str:
    """A key as this program makes them."""
    if not re.fullmatch(r"rly_[A-Za-z0-9_-]{32,128}", text):
        raise ValueError("must be rly_ followed by 32 to 128 letters, digits, _ or -")
    return text


def read_visible(text: str) -> str:
    """What can stand in a header."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be visible ASCII characters without spaces")
    return text


def read_database(text: str) -> Path:
    """The file of a `sqlite:///` address (three slashes and a relative path, or four and an absolute one)."""
    if text.startswith(("postgresql:", "postgres:")):
        raise ValueError("PostgreSQL comes with a later version; this one keeps its data in SQLite")
    if not re.fullmatch(r"sqlite:///[^?#\x00]*[^/?#\x00]", text):
        raise ValueError("must be sqlite:///relative/path or sqlite:////absolute/path")
    return Path(text.removeprefix("sqlite:///"))


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError("must be a list separated by commas, without empty parts")
    return parts
