"""The headers and the signature of every request, and the secrets that make it."""

import base64
import secrets
import time

import httpx
import pytest
from standardwebhooks.webhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook

from relay import __version__
from tests.delivery.conformance.trial import told, try_one
from tests.delivery.receiver import OK, Answer, Receiver
from tests.web.conftest import named_fields
from tests.web.subscribing import PATH, URL, act, subscribe, tokens, trigger

pytestmark = pytest.mark.anyio

AT_ONCE = ["0s"] * 3


async def test_webhook_id_is_the_event_id_the_same_on_every_retry_and_the_body_too(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500), Answer(raw=b"", after="close"), OK) as receiver:
        seen = await try_one(api, receiver.url, attempts=3, retry_schedule=AT_ONCE)

    assert {request.headers["webhook-id"] for request in receiver.requests} == {seen.delivery["event_id"]}
    assert len({request.body for request in receiver.requests}) == 1


async def test_webhook_attempt_counts_from_1(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500), Answer(status=500), OK) as receiver:
        seen = await try_one(api, receiver.url, attempts=3, retry_schedule=AT_ONCE)

    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert [attempt["number"] for attempt in seen.attempts] == [1, 2, 3]


async def test_webhook_timestamp_is_that_of_the_attempt_in_unix_seconds(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500), OK) as receiver:
        before = int(time.time())
        await try_one(api, receiver.url, attempts=2, retry_schedule=["0s", "1200ms"])
        after = int(time.time())

    first, second = (int(request.headers["webhook-timestamp"]) for request in receiver.requests)
    assert before <= first < second <= after


async def test_every_attempt_verifies_with_the_libraries_of_standard_webhooks_and_svix(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500), OK) as receiver:
        subscription = await subscribe(api, url=receiver.url, retry_schedule=AT_ONCE)
        await told(api, subscription, attempts=2, kind="task.succeeded")

    for request in receiver.requests:
        assert StandardWebhook(subscription["secret"]).verify(request.body, request.headers)["type"] == "task.succeeded"
        SvixWebhook(subscription["secret"]).verify(request.body, request.headers)  # raises if they do not belong together


async def test_webhook_signature_is_v1_and_several_while_a_secret_rotates(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url)
        await told(api, subscription)
        await act(api, subscription, "rotate-secret")
        await told(api, subscription)

    assert [[version for version, _ in tokens(request)] for request in receiver.requests] == [["v1"], ["v1", "v1"]]


async def test_v1a_signatures_are_there_on_request(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        for wish in (["v1"], ["v1a"], ["v1", "v1a"]):
            subscription = await subscribe(api, url=f"{receiver.url}/{len(receiver.requests)}", signatures=wish)
            await told(api, subscription)
            assert [version for version, _ in tokens(receiver.requests[-1])] == wish


async def test_content_type_and_user_agent_are_said(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        await try_one(api, receiver.url)

    [request] = receiver.requests
    assert (request.method, request.headers["content-type"], request.headers["user-agent"]) == (
        "POST", "application/json", f"relay/{__version__}")


async def test_headers_of_the_owner_go_along_but_never_in_the_place_of_ours(api: httpx.AsyncClient) -> None:
    for name in ("webhook-id", "Webhook-Signature", "webhook-timestamp", "Webhook-Attempt", "host", "content-length", "Content-Type"):
        refused = await api.post(PATH, json={"url": URL, "headers": {name: "mine"}})
        assert {field.split(".")[0] for field in named_fields(refused)} == {"headers"}, name
    async with Receiver() as receiver:
        await try_one(api, receiver.url, headers={"Authorization": "Bearer mine"})

    assert receiver.requests[0].headers["authorization"] == "Bearer mine"


async def test_secrets_are_whsec_and_base64_of_24_to_64_bytes_and_of_32_when_made_here(api: httpx.AsyncClient) -> None:
    made = (await subscribe(api))["secret"]
    assert len(base64.b64decode(made.removeprefix("whsec_"), validate=True)) == 32
    for length in (24, 33, 64):
        mine = "whsec_" + base64.b64encode(secrets.token_bytes(length)).decode()
        assert (await subscribe(api, url=f"{URL}/{length}", secret=mine))["secret"] == mine
    for length in (0, 23, 65):
        mine = "whsec_" + base64.b64encode(secrets.token_bytes(length)).decode()
        assert named_fields(await api.post(PATH, json={"url": f"{URL}/{length}", "secret": mine})) == {"secret"}


async def test_a_callback_secret_is_another_thing_than_the_signing_secret_and_absent_if_there_is_none(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url, callback_secret="s3cret", format="provider")
        await trigger(api)
        [request] = await receiver.wait_for_requests(1)

        await try_one(api, receiver.url, format="provider", events=["ping"])

    assert request.headers["x-webhook-secret"] == "s3cret"
    assert "x-webhook-secret" not in receiver.requests[1].headers
    assert subscription["secret"].startswith("whsec_")
    StandardWebhook(subscription["secret"]).verify(request.body, request.headers)
