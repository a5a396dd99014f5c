"""The address of a database, and what it says of how to speak to it."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from relay.errors import ConfigError, FieldProblem

_STATEMENTS: Final = 1024  # more than the store has, so that each is prepared once
_CONNECTIONS: Final = 10


class Target(Struct, frozen=True):
    """`dsn`: what the driver is given. `statements`: how many prepared ones a connection keeps; none for a PgBouncer that does not.
    `hints_dsn`: where hints are heard, which is past any pooler."""

    dsn: str
    hints_dsn: str
    statements: int
    connections: int


def read_target(url: str) -> Target:
    """Our own parameters are taken out of the URL: the driver would send what it does not know to the server."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    statements = _number(given.pop("statement_cache_size", ""), "statement_cache_size", _STATEMENTS, least=0)
    connections = _number(given.pop("pool_size", ""), "pool_size", _CONNECTIONS, least=4)
    listen = _address(given.pop("listen", ""))
    own = parts._replace(query=urlencode(given))
    user, at, _ = parts.netloc.rpartition("@")
    past = own._replace(netloc=f"{user}{at}{listen}") if listen else own
    return Target(urlunsplit(own), urlunsplit(past), statements, connections)


def _number(text: str, name: str, default: int, *, least: int) -> int:
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise problem(f"{name} in it is a number, {least} or more")
    return int(text)


def _address(text: str) -> str:
    try:
        urlsplit(f"//{text}").port  # noqa: B018 -- asked for what it raises
    except ValueError as exc:
        raise problem("listen in it is host:port") from exc
    return text


def problem(message: str) -> ConfigError:
    """Something that the operator has to mend."""
    return ConfigError([FieldProblem("RELAY_DATABASE_URL", message)])
