"""Many requests to one recipient: what is written once, and what each has of its own."""

import asyncio
import gc
import time

import pytest

from relay.net import pool
from relay.net.exchange import Broken, Connection
from relay.net.fetch import FetchError, GuardedSession, Refused, Reply, TimedOut, recipient_at
from relay.net.request import Recipient
from tests.delivery.reaching import OPEN, black_hole, until
from tests.delivery.receiver import SILENT, Answer, Receiver
from tests.loops import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

THEIRS = {"X-Team": "größe", "authorization": "100%s"}


def recipient(receiver: Receiver, *own: str) -> Recipient:
    return recipient_at(receiver.url, headers=THEIRS, own=own, policy=OPEN)


def connections() -> list[Connection]:
    """Those that somebody still holds."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Connection)]


async def send(session: GuardedSession, to: Recipient, *values: str, body: bytes = b"{}", timeout: float = 5.0) -> Reply:
    return await session.send(to, values, body, timeout=timeout, max_answer_bytes=4096)


async def test_a_request_is_the_same_as_a_post_with_all_its_headers(session: GuardedSession) -> None:
    own = {"webhook-id": "50%d {x}", "webhook-attempt": "1"}
    async with Receiver() as receiver:
        await session.post(receiver.url, headers=THEIRS | own, body=b"{}", timeout=5, max_answer_bytes=1, policy=OPEN)
        await send(session, recipient(receiver, *own), *own.values())
    one, other = receiver.requests
    assert (one.method, one.target, one.headers, one.body) == (other.method, other.target, other.headers, other.body)


async def test_each_has_the_values_of_its_own(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        to = recipient(receiver, "a", "b")
        for number in range(3):
            await send(session, to, f"a{number}", f"b{number}", body=b"x" * number)
        assert receiver.connections == 1
    assert [(each.headers["a"], each.headers["b"], each.body) for each in receiver.requests] == [
        ("a0", "b0", b""), ("a1", "b1", b"x"), ("a2", "b2", b"xx")]


@pytest.mark.parametrize("value", ["a\nb", "a\rb: c", "a\0b", "a\x7f", "\ud80d", "a\x85b", "a\u2028b"], ids=ascii)
async def test_a_value_that_could_be_read_in_two_ways_is_not_sent(session: GuardedSession, value: str) -> None:
    async with Receiver() as receiver:
        with pytest.raises(FetchError, match=r"^the request could not be made: a header holds a line break or another control character$"):
            await send(session, recipient(receiver, "a"), value)
        assert receiver.connections == 0


@pytest.mark.parametrize(("url", "words"), [
    ("ftp://127.0.0.1/", r"^the URL must begin with https://$"), ("http://10.0.0.1/", r"^the URL must not be reached: 10\.0\.0\.1"),
])
async def test_there_is_none_at_an_address_that_must_not_be_reached(url: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        recipient_at(url, headers={}, policy=OPEN)


async def test_where_connections_are_not_kept_each_request_says_so(session: GuardedSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEPT_HOSTS", 0)
    async with Receiver() as receiver:
        await send(session, recipient(receiver, "a"), "1")
        await send(session, recipient(receiver, "a"), "2")
        assert receiver.connections == 2
    assert [request.headers["connection"] for request in receiver.requests] == ["close", "close"]


async def test_each_exchange_has_a_deadline_of_its_own(session: GuardedSession) -> None:
    may_answer = asyncio.Event()
    async with Receiver(Answer(until=may_answer)) as patient, Receiver(SILENT) as silent:
        waiting = asyncio.get_running_loop().create_task(send(session, recipient(patient), timeout=60), name="patient")
        await patient.wait_for_requests(1)
        for timeout in (0.2, 0.05):
            started = time.monotonic()
            with pytest.raises(TimedOut, match=rf"^timed out after {timeout} s$"):
                await send(session, recipient(silent), timeout=timeout)
            assert time.monotonic() - started >= timeout
        may_answer.set()
        assert (await waiting).status == 200


async def test_the_same_deadline_is_for_the_connecting(session: GuardedSession) -> None:
    with black_hole() as port:
        to = recipient_at(f"http://127.0.0.1:{port}/", headers={}, policy=OPEN)
        with pytest.raises(TimedOut, match=r"^timed out after 0\.1 s$"):
            await send(session, to, timeout=0.1)


async def test_a_deadline_that_was_kept_does_not_end_the_next_exchange_over_the_same_connection(session: GuardedSession) -> None:
    may_answer = asyncio.Event()
    async with Receiver() as receiver, Receiver(SILENT) as silent:
        await send(session, recipient(receiver), timeout=0.1)
        receiver.say(Answer(until=may_answer))
        waiting = asyncio.get_running_loop().create_task(send(session, recipient(receiver), timeout=60), name="second exchange")
        await receiver.wait_for_requests(2)
        with pytest.raises(TimedOut):
            await send(session, recipient(silent), timeout=0.2)  # so long that the first would be over
        may_answer.set()
        assert (await waiting).status == 200
        assert receiver.connections == 1


async def test_an_exchange_that_has_ended_is_kept_by_nothing_though_its_time_is_not_over(session: GuardedSession) -> None:
    before = connections()
    async with Receiver(Answer(headers={"connection": "close"}, after="close")) as receiver:
        await send(session, recipient(receiver), timeout=3600)
    await until(lambda: all(each in before for each in connections()))


async def test_a_cancelled_exchange_is_cancelled_and_no_timeout_though_its_end_has_come(session: GuardedSession) -> None:
    async with Receiver(SILENT) as receiver:
        waiting = asyncio.get_running_loop().create_task(send(session, recipient(receiver), timeout=0.05), name="exchange")
        await receiver.wait_for_requests(1)
        waiting.cancel()
        time.sleep(0.1)  # noqa: ASYNC251 -- the end comes before the task can run again
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_body_without_an_end_that_we_cut_off_is_not_whole() -> None:
    loop = asyncio.get_running_loop()
    async with Receiver(Answer(raw=b"HTTP/1.1 200 OK\r\n\r\nhalf", after="hang")) as receiver:
        _, connection = await loop.create_connection(Connection, "127.0.0.1", receiver.port)
        exchange = loop.create_task(connection.exchange(b"GET / HTTP/1.1\r\n\r\n", 4096), name="exchange")
        await until(lambda: connection.answer is not None and connection.answer.body == b"half")
        connection.close()
        with pytest.raises(Broken):
            await exchange
    assert not connection.is_reusable
