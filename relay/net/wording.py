"""What went wrong on the way to a stranger's server, in words that its owner understands. No URL and no secret is in them."""

import errno
import os
import ssl
from typing import Final

from relay.net.exchange import Broken, NotHttp
from relay.net.lookup import NameNotFound

_CONNECT: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "the connection was closed",
    errno.EPIPE: "the connection was closed",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.ETIMEDOUT: "timed out while connecting",
    errno.EMFILE: "out of sockets",
}


def explain(exc: Exception) -> str:
    """One line about a failed exchange."""
    match exc:
        case NameNotFound(is_silent=True):
            return f"the name {exc.host} could not be looked up: no answer from the name server"
        case NameNotFound():
            return f"the name {exc.host} was not found"
        case ssl.SSLCertVerificationError():
            return f"TLS certificate refused: {exc.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {exc.reason.lower().replace('_', ' ') if exc.reason else _first_line(str(exc))}"
        case Broken():
            return "the connection was closed"
        case NotHttp():
            return f"the answer is not valid HTTP: {_first_line(str(exc))}"
        case OSError():
            return _system_problem(exc)
    return f"the request could not be made: {_first_line(str(exc))}"


def _system_problem(exc: OSError) -> str:
    number = exc.errno or 0
    if number in _CONNECT:
        return _CONNECT[number]
    return f"connection failed: {os.strerror(number)}" if number > 0 else "connection failed"


def _first_line(text: str) -> str:
    """Enough of a foreign message to be of use: parsers quote what they could not read over many lines."""
    return (text.strip().splitlines() or ["no reason given"])[0].rstrip(" :")[:200]
