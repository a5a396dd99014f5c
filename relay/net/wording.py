"""What went wrong on the way to a stranger's server, in words that its owner understands. No URL and no secret is in them."""

import errno
import os
import socket
import ssl
from typing import Final

import aiohttp

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
        case aiohttp.ClientConnectorDNSError():
            return _name_problem(exc)
        case aiohttp.ClientConnectorCertificateError():
            return f"TLS certificate refused: {_reason(exc.certificate_error)}"
        case aiohttp.ClientSSLError():
            return f"TLS failed: {_reason(exc.os_error)}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "the connection was closed"
        case aiohttp.ClientResponseError():
            return f"the answer is not valid HTTP: {_first_line(exc.message)}"
        case OSError():
            return _system_problem(exc)
    return f"the request could not be made: {_first_line(str(exc))}"


def _name_problem(exc: aiohttp.ClientConnectorDNSError) -> str:
    if exc.os_error.errno == socket.EAI_AGAIN:
        return f"the name {exc.host} could not be looked up: no answer from the name server"
    return f"the name {exc.host} was not found"


def _system_problem(exc: OSError) -> str:
    number = exc.errno or 0
    if number in _CONNECT:
        return _CONNECT[number]
    return f"connection failed: {os.strerror(number)}" if number > 0 else "connection failed"


def _reason(exc: Exception | None) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.lower().replace("_", " ")
    return _first_line(str(exc))


def _first_line(text: str) -> str:
    """Enough of a foreign message to be of use: parsers quote what they could not read over many lines."""
    return (text.strip().splitlines() or ["no reason given"])[0].rstrip(" :")[:200]
