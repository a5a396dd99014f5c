"""One attempt, over the wire."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import cast

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from relay import __version__
from relay.model import Image, Task
from relay.net.fetch import GuardedSession
from relay.net.guard import Policy
from relay.ports import Message, Provider
from relay.signing import derive_key, new_webhook_secret
from relay.vault import Vault
from tests.delivery.made import SECRET, VAULT, make_job, make_sender, make_subscription, make_task, now
from tests.delivery.receiver import SILENT, Answer, Received, Receiver

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session() -> AsyncIterator[GuardedSession]:
    session = GuardedSession()
    yield session
    await session.close()


class Shape:
    """As much of a provider as a format asks for."""

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        told = {"task_id": task.provider_task_id, "image_urls": urls}
        return Message(body=json.dumps(told).encode(), content_type="application/json; v=1")


def verify(request: Received, secret: str = SECRET) -> None:
    Webhook(secret).verify(request.body, request.headers)


async def test_an_event_arrives_signed_and_whole(session: GuardedSession) -> None:
    async with Receiver(Answer(status=202, body=b"thanks")) as receiver:
        job = make_job(make_subscription(receiver.url), task=make_task(), attempts=2)
        tried = await make_sender(session).send(job)
    [request] = receiver.requests
    verify(request)
    assert request.body == job.event.body
    assert request.headers["webhook-id"] == job.event.id
    assert abs(int(request.headers["webhook-timestamp"]) - now().timestamp()) < 5
    assert request.headers["webhook-attempt"] == "3"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"relay/{__version__}"
    attempt = tried.attempt
    assert tried.is_success
    assert (attempt.delivery_id, attempt.number, attempt.status_code, attempt.error) == (job.delivery.id, 3, 202, None)
    assert attempt.response_body == "thanks"
    assert attempt.id.startswith("att_")
    assert 0 < attempt.duration_ms < 5000


async def test_while_a_secret_rotates_the_old_one_signs_too(session: GuardedSession) -> None:
    old = new_webhook_secret()
    async with Receiver() as receiver:
        subscription = make_subscription(
            receiver.url, previous_sealed_secret=VAULT.seal(old), previous_secret_until=now() + timedelta(hours=1))
        await make_sender(session).send(make_job(subscription))
    verify(receiver.requests[0])
    verify(receiver.requests[0], old)


async def test_after_the_rotation_the_old_one_signs_no_more(session: GuardedSession) -> None:
    old = new_webhook_secret()
    async with Receiver() as receiver:
        subscription = make_subscription(receiver.url, previous_sealed_secret=VAULT.seal(old), previous_secret_until=now())
        await make_sender(session).send(make_job(subscription))
    verify(receiver.requests[0])
    with pytest.raises(WebhookVerificationError):
        verify(receiver.requests[0], old)


async def test_the_owners_headers_go_along_but_not_in_the_place_of_ours(session: GuardedSession) -> None:
    mine = {"Authorization": "Bearer mine", "X-Team": "größe", "Webhook-Id": "evt_forged", "Content-Type": "text/plain",
            "Host": "elsewhere.example", "Content-Length": "3", "Transfer-Encoding": "chunked", "Connection": "close"}
    async with Receiver() as receiver:
        job = make_job(make_subscription(receiver.url, sealed_headers=VAULT.seal(json.dumps(mine))))
        await make_sender(session).send(job)
    [request] = receiver.requests
    verify(request)
    assert request.headers["authorization"] == "Bearer mine"
    assert request.headers["x-team"].encode("latin-1").decode() == "größe"
    assert request.headers["webhook-id"] == job.event.id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("sealed_callback_secret", [None, VAULT.seal("s3cret")], ids=["no secret", "a secret"])
async def test_the_format_of_the_provider_is_its_own_callback(session: GuardedSession, sealed_callback_secret: str | None) -> None:
    images = (Image(id="img_1", source_url="https://cdn.example/1.png"), Image(id="img_2", kept=True))
    task = make_task(provider_task_id="p-1", images=images)
    async with Receiver() as receiver:
        subscription = make_subscription(receiver.url, format="provider", sealed_callback_secret=sealed_callback_secret)
        await make_sender(session, providers={"apiframe": cast("Provider", Shape())}).send(make_job(subscription, task=task))
    [request] = receiver.requests
    verify(request)
    assert json.loads(request.body) == {
        "task_id": "p-1", "image_urls": ["https://cdn.example/1.png", "https://relay.example/images/img_2"]}
    assert request.headers["content-type"] == "application/json; v=1"
    assert request.headers.get("x-webhook-secret") == ("s3cret" if sealed_callback_secret else None)


async def test_the_format_of_the_provider_tells_a_ping_in_the_standard_one(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        job = make_job(make_subscription(receiver.url, format="provider"))
        await make_sender(session, providers={"apiframe": cast("Provider", Shape())}).send(job)
    assert receiver.requests[0].body == job.event.body


async def test_the_callback_secret_goes_along_in_the_standard_format_too(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        await make_sender(session).send(make_job(make_subscription(receiver.url, sealed_callback_secret=VAULT.seal("s3cret"))))
    verify(receiver.requests[0])
    assert receiver.requests[0].headers["x-webhook-secret"] == "s3cret"


async def test_a_format_that_is_not_there_is_told_to_the_owner_and_nothing_is_sent(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        tried = await make_sender(session).send(make_job(make_subscription(receiver.url, format="telex")))
        assert receiver.connections == 0
    assert (tried.attempt.status_code, tried.attempt.error) == (None, "there is no format 'telex' here")


async def test_a_format_that_fails_is_told_to_the_owner_and_logged(session: GuardedSession, caplog: pytest.LogCaptureFixture) -> None:
    async with Receiver() as receiver:
        sender = make_sender(session, providers={"apiframe": cast("Provider", object())})
        tried = await sender.send(make_job(make_subscription(receiver.url, format="provider"), task=make_task()))
        assert receiver.connections == 0
    assert tried.attempt.error == "the event could not be put into the format 'provider'"
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_a_secret_that_is_lost_is_told_to_the_owner_and_nothing_is_sent(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        sender = make_sender(session, vault=Vault([derive_key("other", "vault")]))
        tried = await sender.send(make_job(make_subscription(receiver.url)))
        assert receiver.connections == 0
    assert "no longer among RELAY_SECRET_KEYS" in str(tried.attempt.error)


async def test_a_receiver_that_is_silent_costs_the_timeout(session: GuardedSession) -> None:
    async with Receiver(SILENT) as receiver:
        tried = await make_sender(session, timeout=0.2).send(make_job(make_subscription(receiver.url)))
    assert (tried.attempt.status_code, tried.attempt.error) == (None, "timed out after 0.2 s")
    assert 150 < tried.attempt.duration_ms < 1500
    assert not tried.is_success


async def test_a_refused_address_is_told_to_the_owner(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        tried = await make_sender(session, policy=Policy(allow_http=True)).send(make_job(make_subscription(receiver.url)))
        assert receiver.connections == 0
    assert "127.0.0.1 is a loopback address" in str(tried.attempt.error)


async def test_a_subscription_may_have_networks_of_its_own(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        subscription = make_subscription(receiver.url, allow_cidrs=("127.0.0.1/32",))
        assert (await make_sender(session, policy=Policy()).send(make_job(subscription))).is_success


async def test_half_an_answer_is_recorded_with_its_status_and_is_no_success(session: GuardedSession) -> None:
    async with Receiver(Answer(body=b"half", claims=10, after="close")) as receiver:
        tried = await make_sender(session).send(make_job(make_subscription(receiver.url)))
    assert (tried.attempt.status_code, tried.attempt.response_body) == (200, "half")
    assert not tried.is_success


async def test_four_kibibytes_of_the_answer_are_kept_whatever_they_are(session: GuardedSession) -> None:
    async with Receiver(Answer(body=b"\xff" + b"a" * 9000)) as receiver:
        tried = await make_sender(session).send(make_job(make_subscription(receiver.url)))
    assert tried.attempt.response_body == "\ufffd" + "a" * 4095


@pytest.mark.parametrize(("value", "asked"), [("30", timedelta(seconds=30)), ("later", None), ("99999999", timedelta(days=1))])
async def test_what_the_receiver_asks_for_is_read(session: GuardedSession, value: str, asked: timedelta | None) -> None:
    async with Receiver(Answer(status=429, headers={"Retry-After": value})) as receiver:
        tried = await make_sender(session).send(make_job(make_subscription(receiver.url)))
    assert tried.retry_after == asked
