"""A name server of our own, on UDP (RFC 1035), and a look-up that asks it: names can change their mind here as they do out there."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

from relay.net.lookup import Lookup

_ANSWER: Final = 0x8180  # a recursive answer without error
_A, _IN = 1, 1


class NameServer(asyncio.DatagramProtocol):
    """Every name has the first of `answers` at the first query, the second at the second and so on; the last one goes on for ever.
    No answer is to be kept (TTL 0)."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self._answers = answers
        self._transport: asyncio.DatagramTransport | None = None
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        number, question = struct.unpack_from("!H", data)[0], data[12:]
        addresses = self._answers[min(len(self.asked), len(self._answers) - 1)]
        self.asked.append(_read_name(question))
        head = struct.pack("!6H", number, _ANSWER, 1, len(addresses), 0, 0)
        records = (struct.pack("!HHHIH", 0xC00C, _A, _IN, 0, 4) + socket.inet_aton(address) for address in addresses)
        assert self._transport
        self._transport.sendto(head + question + b"".join(records), addr)


@asynccontextmanager
async def name_server(*answers: Sequence[str]) -> AsyncIterator[tuple[NameServer, Lookup]]:
    """A server, and the look-up that asks it each time it is called."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(answers), local_addr=("127.0.0.1", 0))
    port: int = transport.get_extra_info("sockname")[1]

    def look_up(host: str, _port: int) -> list[str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + _write_name(host) + struct.pack("!2H", _A, _IN), ("127.0.0.1", port))
            return _addresses(client.recv(512))

    try:
        yield server, look_up
    finally:
        transport.close()


def _write_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def _read_name(question: bytes) -> str:
    labels = []
    while question[0]:
        labels.append(question[1:question[0] + 1].decode())
        question = question[question[0] + 1:]
    return ".".join(labels)


def _addresses(answer: bytes) -> list[str]:
    number = struct.unpack_from("!H", answer, 6)[0]
    start = answer.index(b"\0", 12) + 5
    return [socket.inet_ntoa(answer[at + 12:at + 16]) for at in range(start, start + number * 16, 16)]
