"""A server that answers what it was not asked: nobody else's delivery may take that for its own answer."""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.net.fetch import GuardedSession, Reply
from relay.net.guard import Policy
from tests.delivery.receiver import Receiver

pytestmark = pytest.mark.anyio

OPEN = Policy((ipaddress.ip_network("127.0.0.0/8"),))
_FINE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_FORGED = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"


class Deceiver:
    """In a thread of its own, so that its bytes come while the event loop stands still. Its first answer is followed by a second one."""

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        self.connections = 0
        self.has_lied = threading.Event()
        self._listener = listener

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            while connection.recv(65536):
                connection.sendall(_FINE)
                if not self.has_lied.is_set():
                    time.sleep(0.05)  # a moment after the answer was read, so that it is not thrown away with it
                    connection.sendall(_FORGED)
                    self.has_lied.set()


@contextmanager
def deceiver() -> Iterator[Deceiver]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Deceiver(listener)
        threading.Thread(target=made.serve, daemon=True).start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)


async def post(session: GuardedSession, url: str, owner: str = "") -> Reply:
    return await session.post(url, headers={}, body=b"{}", timeout=5, max_answer_bytes=100, policy=OPEN, owner=owner)


async def test_an_answer_that_came_before_the_question_is_no_answer() -> None:
    session = GuardedSession()
    with deceiver() as receiver:
        await post(session, receiver.url)
        receiver.has_lied.wait(5)  # without a turn of the loop: the bytes are with the kernel
        time.sleep(0.05)  # noqa: ASYNC251 -- as long as they take to come
        assert (await post(session, receiver.url)).status == 200
        assert receiver.connections == 2
    await session.close()


async def test_a_connection_serves_one_owner_only() -> None:
    session = GuardedSession()
    async with Receiver() as receiver:
        for owner in ("acc_1", "acc_2", "acc_1", "acc_2"):
            await post(session, receiver.url, owner)
        assert receiver.connections == 2
    await session.close()
