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
_LAST_PORT: Final = 65535
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
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


def hosts_of(*allowed: str) -> Callable[[str], dict[str, str]]:
    """A reader of host names, each with one of these words: `images.example.com=kie`."""

    def read(text: str) -> dict[str, str]:
        pairs = [part.lower().partition("=") for part in _parts(text)]
        hosts = {host: name for host, _, name in pairs}
        if len(hosts) < len(pairs) or any(name not in allowed or not _HOST.fullmatch(host) for host, name in hosts.items()):
            raise ValueError(f"must be host names, each once and without a port, with one of {', '.join(allowed)}, such as "
                             f"images.example.com={allowed[0]}, separated by commas")
        return hosts

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


def read_database(text: str) -> Path | str:
    """The file of a `sqlite:///` address (three slashes and a relative path, or four and an absolute one), or the address of a
    PostgreSQL database as it stands."""
    if text.startswith(("postgresql:", "postgres:")):
        return _read_postgres(text)
    if not re.fullmatch(r"sqlite:///[^?#\x00]*[^/?#\x00]", text):
        raise ValueError("must be sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host:5432/database")
    return Path(text.removeprefix("sqlite:///"))


def _read_postgres(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = re.fullmatch(r"[^\s/?#]*//[^/?#]*/[^/?#]+(\?[^#]*)?", text) and not re.search(r"[^\x21-\x7e]", text)
        ports = [_port(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    except ValueError:
        fits, ports = None, []
    if not fits or None in ports:
        raise ValueError("must be postgresql://user:password@host:5432/database, what is not a letter or digit in user and password "
                         "written as %XX")
    return text


def _port(host: str) -> int | None:
    """0 where none is named, None where it is not one."""
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.%]+\]|[^:\[\]@]*)(?::([0-9]{1,5}))?", host)
    return None if found is None or int(found[1] or 0) > _LAST_PORT else int(found[1] or 0)


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError("must be a list separated by commas, without empty parts")
    return parts
