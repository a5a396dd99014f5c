"""Fresh deliveries that the store hands to the worker: they arrive without a claim, and nothing that a claim would promise is lost."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from relay.delivery.outcome import Tried
from relay.delivery.worker import DeliveryWorker
from relay.ids import new_id
from relay.model import Change, Delivery, DeliveryStatus, Subscription, SubscriptionStatus, TaskStatus, Update, Via
from relay.ports import DeliveryFilter, Job, JobClaim, Store, Taker
from relay.signing import new_webhook_secret
from tests.delivery.made import ACCOUNT, SECRET, VAULT, make_subscription, make_task, now
from tests.delivery.office import Office, Shim, cancel
from tests.delivery.receiver import OK, SILENT, Answer, Receiver

pytestmark = pytest.mark.anyio


class Tap(Shim):
    """The real store. What is handed over comes past here: counted, and once it is `shut`, kept from the worker."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.handed: list[str] = []
        self.taker: Taker | None = None
        self.is_shut = False

    def hand_to(self, taker: Taker | None) -> None:
        self.taker = taker or self.taker  # what was offered to it still comes
        super().hand_to(taker and self)

    def room_for(self, subscription: Subscription) -> int:
        return self.taker.room_for(subscription) if self.taker else 0

    def take(self, jobs: Sequence[Job]) -> None:
        self.handed += [job.delivery.id for job in jobs]
        if self.taker and not self.is_shut:
            self.taker.take(jobs)


@pytest.fixture
def tap(office: Office) -> Tap:
    return Tap(office.store)


def worker_at(tap: Tap, office: Office, **options: Any) -> DeliveryWorker:
    return office.worker(cast("Store", tap), **options)


async def open_task(office: Office, callback: Subscription | None = None) -> str:
    task = make_task(id=new_id("task"), status=TaskStatus.SUBMITTED, accepted=True, completed_at=None)
    own = callback and msgspec.structs.replace(callback, task_id=task.id)
    await office.store.add_task(task, due_at=None, callback=own)
    return task.id


async def end(office: Office, task_id: str) -> None:
    applied = await office.store.apply(Change(task_id=task_id, via=Via.POLL, now=now(), update=Update(status=TaskStatus.SUCCEEDED)))
    assert applied is not None


async def finish(office: Office, number: int = 1) -> list[Delivery]:
    """So many tasks end at the same instant: what was made of that."""
    tasks = await end_together(office, number)
    return [delivery for task in tasks for delivery in await deliveries_of(office, task)]


async def end_together(office: Office, number: int) -> list[str]:
    tasks = [await open_task(office) for _ in range(number)]
    await asyncio.gather(*(end(office, task) for task in tasks))
    return tasks


async def deliveries_of(office: Office, task_id: str) -> list[Delivery]:
    found: list[Delivery] = (await office.store.deliveries(ACCOUNT, DeliveryFilter(task_id=task_id), limit=9)).data
    return found


async def known(office: Office, receiver: Receiver, *, successes: int = 1) -> Subscription:
    """A subscription whose receiver has answered the worker that is at work."""
    subscription = await office.subscribe(receiver.url)
    await warm(office, subscription, receiver, successes)
    return subscription


async def warm(office: Office, subscription: Subscription, receiver: Receiver, successes: int = 1) -> None:
    for _ in range(successes):
        [ping] = await office.ping(subscription)
        await receiver.wait_for_requests(len(receiver.requests) + 1)
        await settled(office, ping)


async def settled(office: Office, delivery: Delivery, status: DeliveryStatus = DeliveryStatus.DELIVERED) -> None:
    async with asyncio.timeout(10):
        while (await office.delivery(delivery)).status is not status:
            await asyncio.sleep(0.002)  # the store rings for nobody when a delivery has ended


def claimed_again(office: Office, subscription: Subscription) -> Any:
    return office.store.claim_deliveries(limit=100, now=now(), rooms={subscription.id: 100})


async def test_what_happens_arrives_without_a_claim_and_is_recorded(office: Office, tap: Tap) -> None:
    async with Receiver() as receiver:
        async with office.at_work(worker_at(tap, office)):
            await known(office, receiver)
            claimed = tap.claimed
            for number in range(2, 12):
                [delivery] = await finish(office)
                await receiver.wait_for_requests(number)
                await settled(office, delivery)
            assert (tap.claimed, len(tap.handed)) == (claimed, 10)
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 11
    assert await office.number_of(DeliveryStatus.DELIVERED) == 11
    assert len(await office.attempts(delivery)) == 1


async def test_the_event_of_a_callback_url_arrives_without_a_claim(office: Office, tap: Tap) -> None:
    async with Receiver() as receiver, office.at_work(worker_at(tap, office)):
        task = await open_task(office, make_subscription(receiver.url))
        await end(office, task)
        [request] = await receiver.wait_for_requests(1)
        Webhook(SECRET).verify(request.body, request.headers)
        [delivery] = await deliveries_of(office, task)
        assert (tap.claimed, tap.handed) == (0, [delivery.id])


async def test_a_burst_arrives_once_each_whatever_there_is_no_room_for(office: Office, tap: Tap) -> None:
    go = asyncio.Event()
    async with Receiver() as receiver:
        async with office.at_work(worker_at(tap, office)):
            await known(office, receiver, successes=3)
            receiver.say(Answer(until=go))  # or a quick one makes room for the whole burst while it is recorded
            tasks = await end_together(office, 2400)
            assert 0 < len(tap.handed) < 2400
            go.set()
            await receiver.wait_for_requests(2403)
        sent = [request.headers["webhook-id"] for request in receiver.requests[3:]]
        made = [delivery.event_id for task in tasks for delivery in await deliveries_of(office, task)]
        assert sorted(sent) == sorted(made)
        assert receiver.most_at_once <= 8
    assert await office.number_of(DeliveryStatus.DELIVERED) == 2403


async def test_what_the_worker_has_no_place_for_after_all_goes_back_and_arrives(office: Office) -> None:
    class Boundless(Tap):
        """Offers more than there is room for."""

        def room_for(self, subscription: Subscription) -> int:  # noqa: ARG002 -- the shape of a Taker
            return 1_000

    tap = Boundless(office.store)
    async with Receiver(Answer(pieces=5, pause=0.1)) as receiver:
        async with office.at_work(worker_at(tap, office)):
            await known(office, receiver)  # not so quick that a long line would stand there
            receiver.say(OK)
            await finish(office, 60)
            await receiver.wait_for_requests(61)
        assert len(tap.handed) == 60
        assert set(tap.released) <= set(tap.handed)
        assert len(tap.released) > 0
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 61


async def held_up(office: Office, receiver: Receiver, tap: Tap, go: asyncio.Event) -> tuple[Subscription, list[Delivery]]:
    """A subscription with two attempts under way that wait for `go`, and two deliveries in line behind them, all handed over."""
    subscription = await known(office, receiver)
    receiver.say(Answer(until=go))
    deliveries: list[Delivery] = []
    for number in (1, 2):
        deliveries += await finish(office)
        await receiver.wait_for_requests(number + 1)
    for _ in range(2):
        deliveries += await finish(office)
    assert tap.handed == [delivery.id for delivery in deliveries]
    return subscription, deliveries


async def test_what_stands_in_line_when_its_subscription_is_paused_is_not_sent_until_it_is_resumed(office: Office, tap: Tap) -> None:
    go = asyncio.Event()
    async with Receiver() as receiver, Receiver() as other, office.at_work(worker_at(tap, office)):
        subscription, deliveries = await held_up(office, receiver, tap, go)
        await office.store.set_subscription_status(ACCOUNT, subscription.id, SubscriptionStatus.PAUSED, now=now())
        go.set()
        for delivery in deliveries[:2]:
            await settled(office, delivery)
        await known(office, other)
        assert len(receiver.requests) == 3
        assert await office.number_of(DeliveryStatus.HELD) == 2
        await office.store.set_subscription_status(ACCOUNT, subscription.id, SubscriptionStatus.ACTIVE, now=now())
        await receiver.wait_for_requests(5)
    assert [len(await office.attempts(delivery)) for delivery in deliveries] == [1, 1, 1, 1]


async def test_what_stands_in_line_is_signed_with_the_secret_of_the_moment(office: Office, tap: Tap) -> None:
    go, secret = asyncio.Event(), new_webhook_secret()
    async with Receiver() as receiver, office.at_work(worker_at(tap, office)):
        subscription, _ = await held_up(office, receiver, tap, go)
        await office.store.change_subscription(
            ACCOUNT, subscription.id, lambda one: msgspec.structs.replace(one, sealed_secret=VAULT.seal(secret)),
            identity=lambda one: one.id)
        go.set()
        requests = (await receiver.wait_for_requests(5))[3:]
        await finish(office)
        requests += (await receiver.wait_for_requests(6))[5:]
    for request in requests:
        Webhook(secret).verify(request.body, request.headers)


async def test_a_change_that_is_recorded_together_with_the_event_holds_for_it(office: Office, tap: Tap) -> None:
    secret = new_webhook_secret()
    async with Receiver() as receiver, office.at_work(worker_at(tap, office)):
        subscription = await known(office, receiver)
        task = await open_task(office)
        await asyncio.gather(end(office, task), office.store.change_subscription(
            ACCOUNT, subscription.id, lambda one: msgspec.structs.replace(one, sealed_secret=VAULT.seal(secret)),
            identity=lambda one: one.id))
        [_, request] = await receiver.wait_for_requests(2)
        assert len(tap.handed) == 1
    Webhook(secret).verify(request.body, request.headers)


@pytest.mark.parametrize("is_erased", [True, False], ids=["erased", "deleted"])
async def test_what_stands_in_line_and_is_taken_away_is_not_sent(office: Office, tap: Tap, *, is_erased: bool) -> None:
    go = asyncio.Event()
    async with Receiver() as receiver:
        async with office.at_work(worker_at(tap, office)):
            subscription, deliveries = await held_up(office, receiver, tap, go)
            if is_erased:
                for delivery in deliveries[2:]:
                    await office.store.erase_task(ACCOUNT, delivery.task_id or "", now=now())
            else:
                await office.store.remove_subscription(ACCOUNT, subscription.id, now=now())
            go.set()
        assert len(receiver.requests) == 3
    assert [(await office.delivery(delivery)).status for delivery in deliveries] == [DeliveryStatus.DELIVERED] * 2 + [
        DeliveryStatus.CANCELLED] * 2


async def test_what_stands_in_line_for_one_that_is_gone_is_held(office: Office, tap: Tap) -> None:
    go = asyncio.Event()
    async with Receiver() as receiver:
        async with office.at_work(worker_at(tap, office)):
            subscription = await known(office, receiver)
            receiver.say(Answer(status=410, until=go))
            made = [*await finish(office), *await finish(office)]
            await receiver.wait_for_requests(3)
            made += [*await finish(office), *await finish(office)]
            go.set()
            for delivery in made:
                await settled(office, delivery, DeliveryStatus.HELD)
        assert len(receiver.requests) == 3
    assert len(tap.handed) == 4
    assert [(await office.delivery(delivery)).status for delivery in made] == [DeliveryStatus.HELD] * 4
    await office.store.set_subscription_status(ACCOUNT, subscription.id, SubscriptionStatus.ACTIVE, now=now())
    assert len((await claimed_again(office, subscription)).jobs) == 4


async def test_what_was_handed_over_when_the_process_died_is_delivered_after_the_next_start(office: Office, tap: Tap) -> None:
    async with Receiver() as receiver:
        async with office.at_work(worker_at(tap, office)):
            subscription = await known(office, receiver)
            tap.is_shut = True  # committed, and then nothing more
            lost = await finish(office, 2)
        assert tap.handed == [delivery.id for delivery in lost]
        assert (await claimed_again(office, subscription)).jobs == []
        await office.store.recover()
        async with office.at_work():
            await receiver.wait_for_requests(3)
        assert [request.headers["webhook-id"] for request in receiver.requests[1:]] == [delivery.event_id for delivery in lost]
    assert await office.number_of(DeliveryStatus.DELIVERED) == 3


async def test_a_cancelled_worker_gives_back_what_was_handed_to_it(office: Office, tap: Tap) -> None:
    async with Receiver() as receiver:
        running = asyncio.get_running_loop().create_task(worker_at(tap, office).run(asyncio.Event()), name="deliveries")
        subscription, deliveries = await held_up(office, receiver, tap, asyncio.Event())
        await cancel(running)
    claim = await claimed_again(office, subscription)
    assert [(job.delivery.id, job.delivery.attempts) for job in claim.jobs] == [(delivery.id, 0) for delivery in deliveries]


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "stopped"])
@pytest.mark.parametrize("turns", range(8))
async def test_what_is_recorded_while_the_worker_ends_is_not_lost(office: Office, tap: Tap, turns: int, *, is_cancelled: bool) -> None:
    stopping = asyncio.Event()
    async with Receiver() as receiver:
        running = asyncio.get_running_loop().create_task(worker_at(tap, office).run(stopping), name="deliveries")
        subscription = await known(office, receiver)
        receiver.say(SILENT if is_cancelled else OK)
        task = await open_task(office)
        ending = asyncio.create_task(end(office, task))
        for _ in range(turns):
            await asyncio.sleep(0)
        if is_cancelled:
            await cancel(running)
        else:
            stopping.set()
            await running
        await ending
        [delivery] = await deliveries_of(office, task)
        if (await office.delivery(delivery)).status is DeliveryStatus.PENDING:
            assert [job.delivery.id for job in (await claimed_again(office, subscription)).jobs] == [delivery.id]
        else:
            assert not is_cancelled
            assert len(receiver.requests) == 2


async def test_what_is_recorded_while_a_cancelled_worker_cleans_up_does_not_harm_the_store(office: Office, tap: Tap) -> None:
    """The attempts that are cut short take their time to end; meanwhile nothing may begin."""
    class Lingering:
        """A sender that does not end at once."""

        async def send(self, job: Job) -> Tried:
            try:
                return await office.sender.send(job)
            except asyncio.CancelledError:
                await finish(office, 3)
                raise

        def broken(self, job: Job) -> Tried:
            return office.sender.broken(job)

    async with Receiver() as receiver:
        running = asyncio.get_running_loop().create_task(
            worker_at(tap, office, sender=Lingering()).run(asyncio.Event()), name="deliveries")
        subscription = await known(office, receiver)
        receiver.say(SILENT)
        await finish(office)
        await receiver.wait_for_requests(2)
        await cancel(running)
        assert len(receiver.requests) == 2
    assert len((await claimed_again(office, subscription)).jobs) == 4


async def test_a_place_that_becomes_free_is_for_what_has_waited_and_not_for_what_is_fresh(office: Office) -> None:
    class Asking(Tap):
        """Asks before each claim whether something fresh could begin."""

        rooms: list[int] = []  # noqa: RUF012 -- one is made

        async def claim_deliveries(self, **given: Any) -> JobClaim:
            self.rooms.append(worker.room_for(make_subscription(task_id="task_1")))
            return await super().claim_deliveries(**given)

    tap, gates = Asking(office.store), [asyncio.Event(), asyncio.Event()]
    worker = worker_at(tap, office, places=8)
    first, others = Receiver(Answer(until=gates[0])), Receiver(Answer(until=gates[1]))
    async with Receiver() as quick, first, others, office.at_work(worker):
        subscription = await known(office, quick)
        pings = [ping for receiver in (first, *[others] * 6) for ping in await office.ping(await office.subscribe(receiver.url))]
        await asyncio.gather(first.wait_for_requests(1), others.wait_for_requests(6))
        quick.say(Answer(until=gates[1]))
        await office.ping(subscription)
        await quick.wait_for_requests(2)
        await office.ping(await office.subscribe(first.url))
        tap.rooms.clear()
        gates[0].set()
        await first.wait_for_requests(2)
        assert tap.rooms[0] == 0
        gates[1].set()
        for ping in pings:
            await settled(office, ping)
        await office.ping(subscription)
        await quick.wait_for_requests(3)
        assert worker.room_for(make_subscription(task_id="task_1")) == 1
