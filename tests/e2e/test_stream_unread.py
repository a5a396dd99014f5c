"""Event streams that nobody reads, while many events happen: they cost little, harm nobody, and do not stay."""

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.bench.stage import resident
from tests.e2e.harness import ADMIN_KEY, Api
from tests.e2e.storm import open_scene

pytestmark = pytest.mark.anyio

_UNREAD = 50
_LITTLE = 1024
_LOOKS = 3  # that Relay has taken at the slow one, at least, when that is over
_PATIENCE = 30.0
_EVENTS = 1200
_LARGE = {f"part_{number}": "x" * 500 for number in range(10)}  # so that what is not read soon fills every buffer on the way
_MOST_MEMORY = 60  # MiB; all events for all streams would be 300


async def test_streams_that_nobody_reads_are_cut_off_and_the_others_hear_everything(tmp_path: Path) -> None:
    async with open_scene(tmp_path, module="tests.e2e.impatient") as scene:
        await scene.crowd.watch(_EVENTS, **_LARGE)
        before = resident(scene.relay.pid)
        with _streams(scene.relay.url, _UNREAD + 1) as (slow, *unread):
            async with asyncio.TaskGroup() as group:
                heard = group.create_task(_hear(scene.api, _EVENTS), name="reader")
                group.create_task(scene.crowd.call_back(), name="callbacks")
                group.create_task(asyncio.to_thread(_see_who_is_cut_off, slow, unread), name="others")
        assert heard.result() == _EVENTS
        assert resident(scene.relay.pid, "VmHWM") - before < _MOST_MEMORY
        assert (await scene.api.get("/api/v1/tasks")).status_code == 200


@contextlib.contextmanager
def _streams(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Clients with little room, who have asked and not read yet."""
    where = urlsplit(url)
    ask = f"GET /api/v1/events/stream HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {ADMIN_KEY}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(socket.socket()) for _ in range(count)]
        for stream in streams:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stream.connect((where.hostname, where.port))
            stream.sendall(ask)
        yield streams


async def _hear(api: Api, count: int) -> int:
    """How many events there were when so many had come."""
    ids: set[str] = set()
    async with api.stream("GET", "/api/v1/events/stream", params={"types": "task.succeeded", "last_event_id": "evt_0"}) as answer:
        async for line in answer.aiter_lines():
            ids |= {line} if line.startswith("id: evt_") and line != "id: evt_0" else set()
            if len(ids) == count:
                break
    return len(ids)


def _see_who_is_cut_off(slow: socket.socket, unread: list[socket.socket]) -> None:
    """Who does not read a byte, and never who reads a little now and then."""
    poll = select.poll()
    left = {stream.fileno() for stream in unread}
    for descriptor in left:
        poll.register(descriptor, 0)  # tells of a reset, whatever is asked for
    late = time.monotonic() + _PATIENCE
    while left:
        assert time.monotonic() < late, f"{len(left)} are still there"
        assert slow.recv(_LITTLE)
        for descriptor, _ in poll.poll(50):
            poll.unregister(descriptor)
            left.discard(descriptor)
    for _ in range(_LOOKS):
        assert slow.recv(_LITTLE)
        time.sleep(1.0)
