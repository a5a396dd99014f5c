"""uvicorn's connection, and what it lacks: a client has to read, an answer leaves by one system call (see together), and an application is
told when all of a request is there, so that it need not keep the time.

An answer whose client does not read is not written on, so that it costs no more memory; but as it is, uvicorn waits with it for ever,
and closing waits for the client too. An event stream that nobody reads would hold its connection until the machine has no more of them. One
that takes nothing of what is there for it is cut off.
"""

import asyncio
import fcntl
import logging
import socket
import struct
import termios
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relay.cli.together import Together
from relay.web.body import IS_WHOLE

LONGEST_STANDSTILL: Final = 20.0
"""Seconds. Any progress counts, however slow: a large picture may take minutes over a poor line."""

_RESET: Final = struct.pack("ii", 1, 0)
"""The kernel is to forget what it holds: else it would go on trying to bring it."""

_log = logging.getLogger(__name__)


class Connection(HttpToolsProtocol):
    """uvicorn's own, but for that."""

    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(Together(cast("asyncio.Transport", transport), self.loop))

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.scope[IS_WHOLE] = True  # type: ignore[typeddict-unknown-key]  # it is our own

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        self._look_no_more()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_no_more()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._look = self.loop.call_later(LONGEST_STANDSTILL, self._cut_off_if_still, self._unread_bytes())

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _cut_off_if_still(self, unread_bytes: int) -> None:
        if self._unread_bytes() < unread_bytes:
            self._look_later()
            return
        _log.info("a client that does not read its answer was cut off")
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _unread_bytes(self) -> int:
        """Here and in the kernel, which takes nothing more from here before a good part of its own megabytes is read."""
        [queued] = struct.unpack("i", fcntl.ioctl(self._socket().fileno(), termios.TIOCOUTQ, bytes(4)))
        return self.transport.get_write_buffer_size() + int(queued)

    def _socket(self) -> socket.socket:
        return cast("socket.socket", self.transport.get_extra_info("socket"))
