"""A transport that holds what is written first for what is written next."""

import asyncio
from typing import Any

import pytest

from relay.cli.together import Together

pytestmark = pytest.mark.anyio


class Line(asyncio.Transport):
    """The transport underneath, on paper."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.has_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.has_ended
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.has_ended = True

    def abort(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return self.has_ended

    def get_write_buffer_size(self) -> int:
        return 100


async def test_what_is_written_in_one_turn_leaves_in_order_and_two_at_a_time() -> None:
    line = Line()
    together = Together(line, asyncio.get_running_loop())
    for data in (b"", b"a", b"b", bytearray(b"c"), b"", b"d"):
        together.write(data)
    assert line.sent == [b"ab", b"c"]
    await asyncio.sleep(0)
    assert line.sent == [b"ab", b"c", b"d"]


@pytest.mark.parametrize(("end", "sent"), [("closed", [b"head"]), ("aborted", []), ("ended by the other side", [])])
async def test_what_is_held_at_the_end_is_sent_if_it_still_can_be(end: str, sent: list[bytes]) -> None:
    line = Line()
    together = Together(line, asyncio.get_running_loop())
    together.write(b"head")
    assert (line.sent, together.get_write_buffer_size()) == ([], 104)
    {"closed": together.close, "aborted": together.abort, "ended by the other side": line.close}[end]()
    await asyncio.sleep(0)
    assert (line.sent, together.is_closing()) == (sent, True)
