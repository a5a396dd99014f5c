"""What an answer makes of its delivery and its subscription."""

from datetime import timedelta

import httpx
import pytest

from relay.delivery.outcome import FAILING_AFTER
from relay.model import DisabledReason, SubscriptionStatus
from tests.delivery.conformance.trial import deliveries, seen, try_one
from tests.delivery.made import ACCOUNT, now
from tests.delivery.office import Office
from tests.delivery.receiver import OK, Answer, Receiver
from tests.web.conftest import House, read_json
from tests.web.subscribing import PATH, settled, succeeded, trigger

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
async def test_2xx_is_done(api: httpx.AsyncClient, status: int) -> None:
    async with Receiver(Answer(status=status, body=b"")) as receiver:
        seen = await try_one(api, receiver.url)

    assert seen.standing == ("delivered", 1)
    assert (seen.attempt["status_code"], seen.attempt["error"], seen.delivery["next_attempt_at"]) == (status, None, None)


@pytest.mark.parametrize("form", ["standard", "discord", "slack"])
async def test_410_disables_at_once(api: httpx.AsyncClient, form: str) -> None:
    async with Receiver(Answer(status=410)) as receiver:
        seen = await try_one(api, receiver.url, format=form)
        [later] = (await trigger(api))["deliveries"]

    assert (seen.subscription["status"], seen.subscription["disabled_reason"]) == ("disabled", "gone")
    assert (seen.standing, later["status"]) == (("held", 1), "held")
    assert len(receiver.requests) == 1


async def test_404_disables_at_once_where_the_format_is_discord(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=404, body=b'{"message": "Unknown Webhook", "code": 10015}')) as receiver:
        discord = await try_one(api, receiver.url, format="discord")
        slack = await try_one(api, receiver.url, format="slack")

    assert (discord.subscription["status"], discord.subscription["disabled_reason"]) == ("disabled", "gone")
    assert (slack.subscription["status"], slack.standing) == ("active", ("pending", 1))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_3xx_is_never_followed_and_is_a_failure(api: httpx.AsyncClient, status: int) -> None:
    async with Receiver() as elsewhere, Receiver(Answer(status=status, headers={"Location": elsewhere.url}, body=b"")) as receiver:
        seen = await try_one(api, receiver.url)

    assert (seen.standing, seen.attempt["status_code"]) == (("pending", 1), status)
    assert (len(receiver.requests), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 500, 501, 599])
async def test_every_other_answer_is_a_failure_that_is_retried_on_the_schedule(api: httpx.AsyncClient, status: int) -> None:
    async with Receiver(Answer(status=status), OK) as receiver:
        seen = await try_one(api, receiver.url, attempts=2, retry_schedule=["0s", "0s", "1h"])

    assert seen.standing == ("delivered", 2)
    assert [attempt["status_code"] for attempt in seen.attempts] == [status, 200]
    assert seen.subscription["status"] == "active"


async def test_half_an_answer_is_a_failure_whatever_its_status(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(body=b"half", claims=10, after="close")) as receiver:
        seen = await try_one(api, receiver.url)

    assert (seen.standing, seen.attempt["status_code"], seen.attempt["response_body"]) == (("pending", 1), 200, "half")
    assert seen.attempt["error"] == "the connection was closed in the middle of the answer"


async def test_nobody_listening_is_a_failure_in_words(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        url = receiver.url
    seen = await try_one(api, url)

    assert (seen.standing, seen.attempt["status_code"], seen.attempt["error"]) == (("pending", 1), None, "connection refused")


async def test_at_the_end_of_its_schedule_a_delivery_is_exhausted(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500)) as receiver:
        seen = await try_one(api, receiver.url, attempts=3, retry_schedule=["0s", "0s", "0s"])

    assert (seen.standing, seen.delivery["next_attempt_at"]) == (("exhausted", 3), None)
    assert seen.delivery["completed_at"] is not None
    assert [attempt["number"] for attempt in seen.attempts] == [1, 2, 3]
    assert len(receiver.requests) == 3


@pytest.mark.parametrize(("status", "age", "ends"), [
    pytest.param(500, FAILING_AFTER, "disabled", id="a failure after five days"),
    pytest.param(500, FAILING_AFTER - timedelta(minutes=1), "active", id="a failure a minute before that"),
    pytest.param(200, FAILING_AFTER * 2, "active", id="a success"),
])
async def test_at_a_failed_attempt_five_days_after_the_first_failure_since_the_last_success_the_subscription_is_disabled(
        office: Office, status: int, age: timedelta, ends: str) -> None:
    assert timedelta(days=5) == FAILING_AFTER
    async with Receiver(Answer(status=status)) as receiver:
        subscription = await office.subscribe(receiver.url, failing_since=now() - age)
        await office.ping(subscription)
        async with office.at_work(office.worker(schedule=(0.0, 3600.0))):
            await receiver.wait_for_requests(1)

    found = await office.store.subscription(ACCOUNT, subscription.id)
    assert found is not None
    assert (found.status, found.disabled_reason) == (
        SubscriptionStatus(ends), DisabledReason.FAILING if ends == "disabled" else None)
    assert (found.failing_since is None) is (status == 200)


async def test_a_success_ends_the_row_of_failures(api: httpx.AsyncClient) -> None:
    async with Receiver(Answer(status=500), OK) as receiver:
        failed = await try_one(api, receiver.url)
        await api.post(f"/api/v1/deliveries/{failed.delivery['id']}/retry")
        await settled(api, failed.delivery, attempts=2)
        done = await seen(api, failed.subscription, failed.delivery)

    assert failed.subscription["failing_since"] is not None
    assert (done.standing, done.subscription["failing_since"]) == (("delivered", 2), None)


async def test_a_callback_url_is_never_disabled_and_410_exhausts_it(house: House) -> None:
    async with Receiver(Answer(status=410)) as receiver:
        task = await succeeded(house, callback_url=receiver.url)
        [delivery] = await deliveries(house.api, task_id=task["id"])
        found = await settled(house.api, delivery)

    [own] = read_json(await house.api.get(PATH, params={"task_id": task["id"]}), 200)["data"]
    assert (found["status"], found["attempts"], own["status"]) == ("exhausted", 1, "active")
