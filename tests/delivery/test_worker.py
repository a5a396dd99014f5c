"""The worker, with the real store, real posts and receivers that do as they are told."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import cast

import pytest
from standardwebhooks.webhooks import Webhook

from relay.delivery.outcome import Tried
from relay.delivery.sender import Sender
from relay.model import DeliveryStatus, DisabledReason, SubscriptionStatus
from relay.ports import Job, Settlement, Store
from tests.delivery.made import ACCOUNT, SECRET, now
from tests.delivery.office import Office, Shim, cancel
from tests.delivery.receiver import OK, SILENT, Answer, Receiver

pytestmark = pytest.mark.anyio


async def test_an_event_is_delivered_once_verified_and_recorded(office: Office) -> None:
    async with Receiver(Answer(status=201, body=b"thanks")) as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        async with office.at_work():
            [request] = await receiver.wait_for_requests(1)
    Webhook(SECRET).verify(request.body, request.headers)
    assert request.headers["webhook-id"] == delivery.event_id
    settled = await office.delivery(delivery)
    assert (settled.status, settled.attempts, settled.next_attempt_at) == (DeliveryStatus.DELIVERED, 1, None)
    [attempt] = await office.attempts(delivery)
    assert (attempt.number, attempt.status_code, attempt.response_body) == (1, 201, "thanks")


async def test_an_event_that_is_made_while_the_worker_waits_goes_out_at_once(office: Office) -> None:
    async with Receiver() as receiver:
        subscription = await office.subscribe(receiver.url)
        async with office.at_work():
            for number in range(1, 4):
                await office.ping(subscription)
                await receiver.wait_for_requests(number)


async def test_a_failure_is_tried_again_on_the_schedule_with_the_same_id_and_body(office: Office) -> None:
    async with Receiver(Answer(status=500), Answer(raw=b"", after="close"), OK) as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        async with office.at_work():
            requests = await receiver.wait_for_requests(3)
    assert [request.headers["webhook-attempt"] for request in requests] == ["1", "2", "3"]
    assert len({(request.headers["webhook-id"], request.body) for request in requests}) == 1
    assert (await office.delivery(delivery)).status is DeliveryStatus.DELIVERED
    assert [(one.number, one.status_code, one.error) for one in await office.attempts(delivery)] == [
        (1, 500, None), (2, None, "the connection was closed"), (3, 200, None)]


async def test_a_delivery_that_always_fails_is_exhausted(office: Office) -> None:
    async with Receiver(Answer(status=500)) as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        async with office.at_work():
            await receiver.wait_for_requests(3)
        assert len(receiver.requests) == 3
    assert (await office.delivery(delivery)).status is DeliveryStatus.EXHAUSTED


async def test_a_retry_waits_for_its_time(office: Office) -> None:
    async with Receiver(Answer(status=500), OK) as receiver:
        await office.ping(await office.subscribe(receiver.url))
        async with office.at_work(office.worker(schedule=(0.0, 0.4))):
            loop = asyncio.get_running_loop()
            await receiver.wait_for_requests(1)
            failed = loop.time()
            await receiver.wait_for_requests(2)
            assert 0.3 < loop.time() - failed < 2


async def test_a_retry_by_hand_is_an_attempt_like_any_other(office: Office) -> None:
    async with Receiver(Answer(status=500)) as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        async with office.at_work(office.worker(schedule=(0.0,))):
            await receiver.wait_for_requests(1)
        await office.store.retry_delivery(ACCOUNT, delivery.id, now=now())
        async with office.at_work(office.worker(schedule=(0.0,))):
            await receiver.wait_for_requests(2)
    settled = await office.delivery(delivery)
    assert (settled.status, settled.attempts) == (DeliveryStatus.EXHAUSTED, 2)
    assert [attempt.number for attempt in await office.attempts(delivery)] == [1, 2]


async def test_what_the_receiver_asks_for_moves_the_next_attempt(office: Office) -> None:
    async with Receiver(Answer(status=429, headers={"Retry-After": "3600"})) as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        async with office.at_work():
            await receiver.wait_for_requests(1)
    settled = await office.delivery(delivery)
    assert settled.next_attempt_at is not None
    assert timedelta(minutes=59) < settled.next_attempt_at - now() <= timedelta(hours=1)


async def test_410_disables_the_subscription_and_keeps_what_was_for_it(office: Office) -> None:
    async with Receiver(Answer(status=410)) as receiver:
        subscription = await office.subscribe(receiver.url)
        await office.ping(subscription, 60)
        async with office.at_work():
            await receiver.wait_for_requests(1)
        assert len(receiver.requests) == 1
    stands = await office.store.subscription(ACCOUNT, subscription.id)
    assert stands is not None
    assert (stands.status, stands.disabled_reason) == (SubscriptionStatus.DISABLED, DisabledReason.GONE)
    assert await office.number_of(DeliveryStatus.HELD) == 60


async def test_a_burst_for_one_receiver_arrives_once_each_within_its_limit(office: Office) -> None:
    shim = Shim(office.store)
    async with Receiver() as receiver:
        deliveries = await office.ping(await office.subscribe(receiver.url), 200)
        async with office.at_work(office.worker(cast("Store", shim))):
            await receiver.wait_for_requests(200)
        assert receiver.most_at_once <= 8
        assert receiver.connections <= 8
        assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(one.event_id for one in deliveries)
    assert await office.number_of(DeliveryStatus.DELIVERED) == 200
    assert len(shim.batches) < 200
    assert sum(shim.batches) == 200
    assert shim.claims < 200
    assert len(shim.released) < 100


async def test_a_full_subscription_or_an_idle_store_is_not_asked_for_again_and_again(office: Office) -> None:
    shim = Shim(office.store)
    async with Receiver(SILENT) as receiver:
        await office.ping(await office.subscribe(receiver.url), 30)
        stopping = asyncio.Event()
        running = asyncio.get_running_loop().create_task(office.worker(cast("Store", shim)).run(stopping), name="deliveries")
        await receiver.wait_for_requests(1)
        await asyncio.sleep(0.3)  # nothing is to happen, and nothing tells when that is over
        assert shim.claims < 12
        assert shim.claimed == 1
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_stopping_awaits_what_is_under_way_and_begins_nothing_more(office: Office) -> None:
    allowed = asyncio.Event()
    async with Receiver(Answer(until=allowed)) as receiver:
        subscriptions = [await office.subscribe(receiver.url) for _ in range(2)]
        for subscription in subscriptions:
            await office.ping(subscription, 3)
        stopping = asyncio.Event()
        running = asyncio.get_running_loop().create_task(office.worker().run(stopping), name="deliveries")
        await receiver.wait_for_requests(2)
        stopping.set()
        done, _ = await asyncio.wait([running], timeout=0.2)
        assert not done
        allowed.set()
        async with asyncio.timeout(5):
            await running
        assert len(receiver.requests) == 2
    assert await office.number_of(DeliveryStatus.DELIVERED) == 2
    claim = await office.store.claim_deliveries(limit=10, now=now(), rooms={subscription.id: 9 for subscription in subscriptions})
    assert len(claim.jobs) == 4


async def test_stopping_an_idle_worker_takes_no_time(office: Office) -> None:
    async with asyncio.timeout(1), office.at_work():
        await asyncio.sleep(0)


async def test_a_cancelled_worker_gives_everything_back_without_an_attempt(office: Office) -> None:
    async with Receiver(SILENT) as receiver:
        deliveries = await office.ping(await office.subscribe(receiver.url), 30)
        running = asyncio.get_running_loop().create_task(office.worker().run(asyncio.Event()), name="deliveries")
        await receiver.wait_for_requests(1)
        await cancel(running)
    claim = await office.store.claim_deliveries(limit=100, now=now(), rooms={deliveries[0].subscription_id: 100})
    assert {job.delivery.id for job in claim.jobs} == {delivery.id for delivery in deliveries}
    assert {job.delivery.attempts for job in claim.jobs} == {0}


async def test_a_worker_that_is_cancelled_twice_still_ends(office: Office) -> None:
    async with Receiver(SILENT) as receiver:
        await office.ping(await office.subscribe(receiver.url), 3)
        running = asyncio.get_running_loop().create_task(office.worker().run(asyncio.Event()), name="deliveries")
        await receiver.wait_for_requests(1)
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 5)


class Faulty:
    """A sender with a fault that some deliveries meet."""

    def __init__(self, sender: Sender, is_met: Callable[[Job], bool]) -> None:
        self._sender = sender
        self._is_met = is_met

    async def send(self, job: Job) -> Tried:
        if self._is_met(job):
            raise ZeroDivisionError("a fault")
        return await self._sender.send(job)

    def broken(self, job: Job) -> Tried:
        return self._sender.broken(job)


async def test_a_fault_of_ours_costs_that_delivery_an_attempt_and_nothing_else(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    async with Receiver() as receiver:
        subscription = await office.subscribe(receiver.url)
        [unlucky, lucky] = await office.ping(subscription, 2)
        sender = Faulty(office.sender, lambda job: job.delivery.id == unlucky.id and job.delivery.attempts == 0)
        async with office.at_work(office.worker(sender=sender)):
            await receiver.wait_for_requests(2)
    assert [attempt.error for attempt in await office.attempts(unlucky)] == ["internal error", None]
    assert (await office.delivery(unlucky)).status is DeliveryStatus.DELIVERED
    assert (await office.delivery(lucky)).status is DeliveryStatus.DELIVERED
    [record] = [record for record in caplog.records if record.exc_info]
    assert unlucky.id in record.getMessage()


async def test_an_outcome_that_the_store_does_not_take_is_kept_and_offered_again(office: Office) -> None:
    shim = Shim(office.store)
    shim.fails_to_settle = 2
    async with Receiver() as receiver:
        [delivery] = await office.ping(await office.subscribe(receiver.url))
        async with office.at_work(office.worker(cast("Store", shim))):
            await receiver.wait_for_requests(1)
        assert len(receiver.requests) == 1
    assert shim.batches == [1, 1, 1]
    assert (await office.delivery(delivery)).status is DeliveryStatus.DELIVERED
    assert len(await office.attempts(delivery)) == 1


async def test_a_store_that_cannot_be_asked_is_asked_again_after_a_pause(office: Office) -> None:
    shim = Shim(office.store)
    shim.fails_to_claim = 2
    async with Receiver() as receiver:
        await office.ping(await office.subscribe(receiver.url))
        async with office.at_work(office.worker(cast("Store", shim))):
            await receiver.wait_for_requests(1)
        assert 3 <= shim.claims <= 5


async def test_a_fault_of_the_store_stops_the_worker_loudly(office: Office) -> None:
    class Broken(Shim):
        async def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:  # noqa: ARG002 -- the shape of a Store
            raise ZeroDivisionError("a fault")

    async with Receiver() as receiver:
        await office.ping(await office.subscribe(receiver.url))
        with pytest.raises(ExceptionGroup) as caught:
            await office.worker(cast("Store", Broken(office.store))).run(asyncio.Event())
    assert caught.group_contains(ZeroDivisionError)


async def test_each_attempt_is_one_line_in_the_log_without_secrets(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relay.delivery")
    async with Receiver(Answer(status=500), OK) as receiver:
        subscription = await office.subscribe(receiver.url + "?token=s3cret")
        [delivery] = await office.ping(subscription)
        async with office.at_work():
            await receiver.wait_for_requests(2)
    lines = [record for record in caplog.records if record.name.startswith("relay.delivery")]
    told = [{name: vars(line)[name] for name in ("delivery", "subscription", "event_type", "attempt", "status")} for line in lines]
    common = {"delivery": delivery.id, "subscription": subscription.id, "event_type": "ping"}
    assert told == [common | {"attempt": 1, "status": 500}, common | {"attempt": 2, "status": 200}]
    assert "s3cret" not in "".join(str(vars(line)) for line in lines)


class Tally:
    """A meter that can be read."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        raise AssertionError(f"{name} {amount} {labels} is not counted here")

    def set(self, name: str, value: float, /, **labels: str) -> None:
        raise AssertionError(f"{name} {value} {labels} is not set here")

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        assert seconds >= 0
        self.seen.append((name, labels))


async def test_attempts_and_deliveries_are_timed(office: Office) -> None:
    tally = Tally()
    async with Receiver(Answer(status=500), OK) as receiver:
        await office.ping(await office.subscribe(receiver.url))
        async with office.at_work(office.worker(meter=tally)):
            await receiver.wait_for_requests(2)
    assert tally.seen == [
        ("relay_attempt_seconds", {"outcome": "failed"}), ("relay_attempt_seconds", {"outcome": "delivered"}),
        ("relay_event_delivery_seconds", {})]


async def test_a_paused_subscription_hears_nothing_until_it_is_resumed(office: Office) -> None:
    async def set_status(status: SubscriptionStatus) -> None:
        await office.store.set_subscription_status(ACCOUNT, subscription.id, status, now=now())

    async with Receiver() as receiver, Receiver() as other:
        subscription = await office.subscribe(receiver.url)
        await set_status(SubscriptionStatus.PAUSED)
        await office.ping(subscription, 3)
        await office.ping(await office.subscribe(other.url))
        async with office.at_work():
            await other.wait_for_requests(1)
            assert receiver.requests == []
            await set_status(SubscriptionStatus.ACTIVE)
            await receiver.wait_for_requests(3)
