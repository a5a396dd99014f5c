"""A thousand receivers that are dead, each in one of the ways in which receivers die, take nothing from those that live. Real sockets,
and all the places that the service has.

How it stands is told by what has happened and not by the clock: everything that goes to the living is settled before the first
attempt at one that hangs has ended.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from relay.model import DeliveryStatus, Subscription
from relay.net.fetch import GuardedSession
from relay.ports import DeliveryFilter
from tests.bench.faulty import dead_port
from tests.delivery.made import ACCOUNT, make_sender
from tests.delivery.office import Office, cancel
from tests.delivery.receiver import SILENT, Receiver

pytestmark = pytest.mark.anyio

_REFUSED, _SWALLOWED, _HANGING = 400, 300, 300
_LIVING: Final = 20
_EACH: Final = 5
_PLACES: Final = 512
_NEVER_SECONDS: Final = 600.0  # how long an attempt may take, here: longer than the test

_Make = Callable[[str], Awaitable[Subscription]]


class Dead(Struct, frozen=True):
    """Where nobody answers: a port that refuses, one that swallows what comes, and a receiver that hangs. `queued`: who knocked at the
    second before us."""

    refused: int
    swallowing: int
    hanging: Receiver
    queued: int

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.refused}/hook"] * _REFUSED + [
            f"http://127.0.0.1:{self.swallowing}/hook"] * _SWALLOWED + [self.hanging.url] * _HANGING

    def under_way(self) -> int:
        """Attempts that wait for a connection, or for an answer."""
        return connecting_to(self.swallowing) - self.queued + self.hanging.at_once


@contextlib.contextmanager
def swallowing() -> Iterator[int]:
    """A port whose queue is full, and nobody takes anything out of it: whoever knocks hears nothing at all."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)  # noqa: FBT003
            knocking.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def connecting_to(port: int) -> int:
    """How many sockets wait for this port to take their connection, as the kernel counts."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and line[3] == "02" for line in lines)


@contextlib.asynccontextmanager
async def dying() -> AsyncIterator[Dead]:
    with dead_port() as refused, swallowing() as swallowed:
        async with Receiver(SILENT) as hanging:
            yield Dead(refused, swallowed, hanging, connecting_to(swallowed))


async def subscribed(make: _Make, urls: list[str]) -> list[Subscription]:
    return list(await asyncio.gather(*(make(url) for url in urls)))


async def tell(office: Office, subscriptions: list[Subscription], each: int) -> None:
    await asyncio.gather(*(office.ping(subscription, each) for subscription in subscriptions))


@contextlib.asynccontextmanager
async def at_work(office: Office) -> AsyncIterator[None]:
    """With all places, and attempts that nothing but an answer or a refusal ends."""
    session = GuardedSession()
    worker = office.worker(sender=make_sender(session, timeout=_NEVER_SECONDS))
    running = asyncio.get_running_loop().create_task(worker.run(asyncio.Event()), name="deliveries")
    try:
        yield
    finally:
        await cancel(running)
        await session.close()


async def all_delivered(office: Office, number: int) -> None:
    async with asyncio.timeout(60):
        while await office.number_of(DeliveryStatus.DELIVERED) < number:
            await asyncio.sleep(0.05)


async def ended_at(office: Office, subscriptions: list[Subscription]) -> int:
    """How many attempts at them have ended."""
    found = [await office.store.deliveries(ACCOUNT, DeliveryFilter(subscription_id=one.id), limit=9) for one in subscriptions]
    return sum(delivery.attempts for page in found for delivery in page.data)


async def test_what_goes_to_the_living_arrives_while_a_thousand_that_died_before_are_being_tried(office: Office) -> None:
    async with dying() as dead, Receiver() as living:
        departed = await subscribed(office.failing, dead.urls)
        await tell(office, departed, 1)
        well = await subscribed(office.subscribe, [living.url] * _LIVING)
        await tell(office, well, _EACH)
        async with at_work(office):
            await all_delivered(office, _LIVING * _EACH)
            assert await ended_at(office, departed[_REFUSED:]) == 0
            assert 0 < dead.under_way() <= _PLACES // 2


async def test_what_goes_to_those_known_to_live_arrives_while_a_thousand_new_ones_turn_out_to_be_dead(office: Office) -> None:
    async with dying() as dead, Receiver() as living, at_work(office):
        well = await subscribed(office.subscribe, [living.url] * _LIVING)
        await tell(office, well, _EACH)
        await all_delivered(office, _LIVING * _EACH)
        departed = await subscribed(office.subscribe, dead.urls)
        await tell(office, departed, 1)
        async with asyncio.timeout(60):
            while dead.under_way() < _PLACES * 7 // 8:
                await asyncio.sleep(0.05)
        await tell(office, well, _EACH)
        await all_delivered(office, 2 * _LIVING * _EACH)
        assert await ended_at(office, departed[_REFUSED:]) == 0
        assert dead.under_way() == _PLACES * 7 // 8
