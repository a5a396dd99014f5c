"""How long an answer is waited for, how much of it is read, and what the owner is told of one that never came."""

import ipaddress
from typing import Any

import httpx
import pytest

from relay.net.fetch import GuardedSession
from relay.net.guard import Policy
from tests.delivery.conformance.trial import try_one
from tests.delivery.made import make_sender
from tests.delivery.nameserver import name_server
from tests.delivery.office import Office
from tests.delivery.receiver import SILENT, Answer, Receiver

pytestmark = pytest.mark.anyio

SETTINGS = {"RELAY_DELIVERY_TIMEOUT": "400ms"}
TIMED_OUT = "timed out after 0.4 s"
DRIP: dict[str, Any] = {"pieces": 1, "pause": 0.05}
IN_WORDS = {"10.0.0.1": "a private", "127.0.0.2": "a loopback", "169.254.1.1": "a link-local", "169.254.169.254": "a cloud metadata"}


@pytest.mark.parametrize(("answer", "status", "error"), [
    pytest.param(SILENT, None, TIMED_OUT, id="never answers"),
    pytest.param(Answer(raw=b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 400, **DRIP), None, TIMED_OUT, id="drips its headers"),
    pytest.param(Answer(body=b"a" * 400, **DRIP), None, TIMED_OUT, id="drips all a byte at a time"),
    pytest.param(Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\nab", after="hang"), 200,
                 f"{TIMED_OUT} in the middle of the answer", id="stops in the middle of its body"),
    pytest.param(Answer(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 400, pieces=25, pause=0.05), None, TIMED_OUT, id="says continue for ever"),
])
async def test_a_timeout_is_a_total_deadline_whatever_the_receiver_does_meanwhile(
        api: httpx.AsyncClient, answer: Answer, status: int | None, error: str) -> None:
    async with Receiver(answer) as receiver:
        seen = await try_one(api, receiver.url)

    assert (seen.standing, seen.attempt["status_code"], seen.attempt["error"]) == (("pending", 1), status, error)
    assert seen.attempt["duration_ms"] >= 390


async def test_a_body_that_drips_a_byte_at_a_time_does_not_hold_the_attempt(api: httpx.AsyncClient) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n"
    async with Receiver(Answer(raw=head + b"a" * 400, pieces=len(head), pause=0.15)) as receiver:
        seen = await try_one(api, receiver.url)

    assert seen.standing == ("pending", 1)
    assert seen.attempt["error"] == f"{TIMED_OUT} in the middle of the answer"
    assert 0 < len(seen.attempt["response_body"]) < 400


async def test_of_an_answer_that_never_ends_at_most_4_kib_are_read_and_then_the_connection_is_closed(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(after="ever", body=b"")) as receiver:
        seen = await try_one(api, receiver.url)
        await receiver.wait_until(lambda receiver: receiver.at_once == 0)

    assert (seen.standing, seen.attempt["status_code"], seen.attempt["error"]) == (("delivered", 1), 200, None)
    assert seen.attempt["response_body"] == "x" * 4096


@pytest.mark.parametrize(("body", "kept"), [(b"a" * 9000, "a" * 4096), (b"\xff\x00ok", "\ufffd\x00ok"), (b"", "")],
                         ids=["long", "binary", "none"])
async def test_an_attempt_shows_status_code_duration_error_and_the_first_4_kib_of_the_answer(
        api: httpx.AsyncClient, body: bytes, kept: str) -> None:
    async with Receiver(Answer(status=503, body=body)) as receiver:
        seen = await try_one(api, receiver.url)

    assert (seen.attempt["status_code"], seen.attempt["error"], seen.attempt["response_body"]) == (503, None, kept)
    assert 0 < seen.attempt["duration_ms"] < 10_000
    assert (seen.attempt["number"], seen.attempt["delivery_id"]) == (1, seen.delivery["id"])


@pytest.mark.parametrize("address", IN_WORDS)
async def test_a_refused_address_is_a_failure_and_is_explained_in_words_that_an_owner_understands(office: Office, address: str) -> None:
    async with name_server([address]) as (_, look_up):
        session = GuardedSession(lookup=look_up, keep_names=0)
        office.sender = make_sender(session, policy=Policy((ipaddress.ip_network("192.168.7.0/24"),)))
        [delivery] = await office.ping(await office.subscribe("https://inward.example/hook"))
        async with office.at_work(office.worker(schedule=(0.0, 3600.0))):
            while not (attempts := await office.attempts(delivery)):
                pass
        await session.close()

    [attempt] = attempts
    assert (attempt.status_code, attempt.error) == (None, f"{address} is {IN_WORDS[address]} address")
    found = await office.delivery(delivery)
    assert (found.status, found.attempts, found.next_attempt_at is None) == ("pending", 1, False)
