"""Names that change between two look-ups, told by a name server of ours; and that no packet reaches a refused address."""

import contextlib
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from msgspec import Struct

from relay.net.fetch import GuardedSession, Refused, TimedOut
from relay.net.guard import Policy
from tests.delivery.made import LOOPBACK, make_job, make_sender, make_subscription
from tests.delivery.nameserver import NameServer, name_server
from tests.delivery.receiver import Answer, Receiver

pytestmark = pytest.mark.anyio

OPEN, INNER = "127.0.0.1", "127.0.0.2"
ONE_IS_OPEN = Policy((ipaddress.ip_network(f"{OPEN}/32"),))
PARTING = Answer(headers={"connection": "close"}, after="close")


class Trap(Struct):
    """A listening socket at the inner address: whoever connects to it, even for a moment, waits in its queue."""

    socket: socket.socket

    @property
    def is_untouched(self) -> bool:
        try:
            self.socket.accept()[0].close()
        except BlockingIOError:
            return True
        return False


class Scene(Struct):
    """A receiver at the open address, a trap at the same port of the inner one, and a session that asks the name server."""

    receiver: Receiver
    trap: Trap
    server: NameServer
    session: GuardedSession

    async def post(self, policy: Policy = ONE_IS_OPEN) -> int:
        return await _post(self.session, f"http://rebind.example:{self.receiver.port}/", policy)


@contextlib.contextmanager
def set_trap(port: int) -> Iterator[Trap]:
    with socket.create_server((INNER, port)) as listening:
        listening.settimeout(0)
        yield Trap(listening)


@contextlib.asynccontextmanager
async def scene(*answers: Sequence[str], receiver: Answer = PARTING) -> AsyncIterator[Scene]:
    async with Receiver(receiver) as listening, name_server(*answers) as (server, look_up):
        session = GuardedSession(lookup=look_up, keep_names=0)
        with set_trap(listening.port) as trap:
            yield Scene(listening, trap, server, session)
        await session.close()


async def test_the_trap_notes_whoever_connects() -> None:
    async with scene([INNER]) as here:
        with pytest.raises(TimedOut):
            await _post(here.session, f"http://{INNER}:{here.receiver.port}/", LOOPBACK, timeout=0.2)
        assert not here.trap.is_untouched


async def test_a_name_that_turns_inward_is_refused_and_nothing_reaches_the_inner_address() -> None:
    async with scene([OPEN], [INNER]) as here:
        assert await here.post() == 200
        for _ in range(3):
            with pytest.raises(Refused, match=r"^127\.0\.0\.2 is a loopback address$"):
                await here.post()
        assert here.trap.is_untouched
        assert here.server.asked == ["rebind.example"] * 4
        assert len(here.receiver.requests) == 1


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """One look-up per connection: there is no second one that could answer otherwise."""
    async with scene([OPEN], [INNER], [OPEN], [INNER]) as here:
        assert await here.post() == 200
        with pytest.raises(Refused):
            await here.post()
        assert await here.post() == 200
        assert (len(here.server.asked), len(here.receiver.requests)) == (3, 2)
        assert here.trap.is_untouched


@pytest.mark.parametrize("addresses", [(INNER, OPEN), (OPEN, INNER), (INNER, "10.0.0.1", "169.254.169.254", OPEN)])
async def test_every_address_of_an_answer_is_judged(addresses: tuple[str, ...]) -> None:
    async with scene(addresses) as here:
        assert await here.post() == 200
        assert here.trap.is_untouched


async def test_where_all_addresses_are_refused_the_owner_hears_why() -> None:
    async with scene(["10.0.0.1", INNER, "169.254.169.254"]) as here:
        job = make_job(make_subscription(f"https://inward.example:{here.receiver.port}/"))
        attempt = (await make_sender(here.session, policy=ONE_IS_OPEN).send(job)).attempt
        assert attempt.status_code is None
        assert re.fullmatch(r"\S+ is a (private|loopback|cloud metadata) address", str(attempt.error))
        assert here.trap.is_untouched


async def test_a_connection_that_stays_open_leads_where_it_led() -> None:
    async with scene([OPEN], [INNER], receiver=Answer()) as here:
        for _ in range(3):
            assert await here.post() == 200
        assert (len(here.server.asked), here.receiver.connections) == (1, 1)
        assert here.trap.is_untouched


async def _post(session: GuardedSession, url: str, policy: Policy, *, timeout: float = 5.0) -> int:
    return (await session.post(url, headers={}, body=b"{}", timeout=timeout, max_answer_bytes=10, policy=policy)).status
