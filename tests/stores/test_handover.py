"""Fresh deliveries handed over in memory: which, when, and that they are held as if they had been claimed."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from relay.bell import Bell
from relay.errors import StoreError
from relay.model import Delivery, DeliveryStatus, Subscription, SubscriptionStatus
from relay.ports import Job
from relay.ports.store import SubscriptionFilter
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio


class Hand:
    """Takes so many of each subscription at a time."""

    def __init__(self, room: int = 8) -> None:
        self.room = room
        self.asked = 0
        self.jobs: list[Job] = []
        self.threads: set[int] = set()

    def room_for(self, subscription: Subscription) -> int:  # noqa: ARG002 -- the shape of a Taker
        self.asked += 1
        self.threads.add(threading.get_ident())
        return self.room

    def take(self, jobs: Sequence[Job]) -> None:
        self.threads.add(threading.get_ident())
        self.jobs += jobs

    @property
    def taken(self) -> list[str]:
        return [job.delivery.id for job in self.jobs]


@pytest.fixture
def hand(shelf: Shelf) -> Hand:
    hand = Hand()
    shelf.store.hand_to(hand)
    return hand


async def claimed(shelf: Shelf, **given: Any) -> list[str]:
    [subscription] = (await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(), limit=9)).data
    return [job.delivery.id for job in await shelf.claim_jobs(rooms={subscription.id: 9}, **given)]


async def deliver_at_once(shelf: Shelf, number: int) -> list[Delivery]:
    """So many tasks that end at the same instant, to the one subscription: the deliveries in the order in which they came."""
    tasks = [await shelf.add_open_task() for _ in range(number)]
    await asyncio.gather(*(shelf.finish(task) for task in tasks))
    return sorted(await shelf.deliveries(), key=lambda delivery: delivery.id)


async def test_what_is_handed_over_is_held_and_never_claimed(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    assert hand.taken == [delivery.id]
    assert delivery.status is DeliveryStatus.PENDING
    assert await claimed(shelf, now=after(days=1)) == []


async def test_it_is_handed_over_with_all_that_a_claim_would_give(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe(metadata={"tenant": "a"}, description="mine")
    delivery = await shelf.deliver(prompt="a lighthouse", metadata={"tenant": "a"})
    await shelf.store.release_deliveries([delivery.id])
    assert await shelf.claim_jobs() == hand.jobs


async def test_it_is_settled_like_one_that_was_claimed(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await shelf.settle(hand.jobs[0].delivery, status=DeliveryStatus.PENDING, next_at=after(seconds=5))
    assert (await shelf.delivery(delivery)).attempts == 1
    assert await claimed(shelf, now=after(seconds=5)) == [delivery.id]


@pytest.mark.usefixtures("hand")
async def test_what_is_given_back_is_due_as_if_it_had_never_been_handed_over(shelf: Shelf) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await shelf.store.release_deliveries([delivery.id])
    assert await claimed(shelf) == [delivery.id]


@pytest.mark.usefixtures("hand")
async def test_what_a_dead_taker_held_is_free_again_after_recover(shelf: Shelf, bell: Bell) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    with bell.listen("deliveries") as rung:
        await shelf.store.recover()
        assert await rung.wait(0)
    assert await claimed(shelf) == [delivery.id]


@pytest.mark.usefixtures("hand")
async def test_the_bell_is_not_rung_for_what_is_handed_over(shelf: Shelf, bell: Bell) -> None:
    await shelf.subscribe()
    with bell.listen("deliveries") as rung:
        await shelf.deliver()
        assert not await rung.wait(0)


async def test_what_is_more_than_there_is_room_for_is_due_like_any_other(shelf: Shelf, bell: Bell, hand: Hand) -> None:
    hand.room = 2
    await shelf.subscribe()
    with bell.listen("deliveries") as rung:
        deliveries = [delivery.id for delivery in await deliver_at_once(shelf, 5)]
        assert await rung.wait(0)
    assert hand.taken == deliveries[:2]
    assert await claimed(shelf) == deliveries[2:]


@pytest.mark.parametrize("given", [
    pytest.param({"ordered": True}, id="ordered"),
    pytest.param({"retry_schedule": (5.0, 60.0)}, id="a first attempt that is not due yet"),
    pytest.param({"status": SubscriptionStatus.PAUSED}, id="paused"),
])
async def test_nothing_is_handed_over_that_a_claim_would_not_give_now(shelf: Shelf, hand: Hand, given: dict[str, Any]) -> None:
    await shelf.subscribe(**given)
    delivery = await shelf.deliver()
    assert hand.taken == []
    expected = [] if delivery.status is DeliveryStatus.HELD else [delivery.id]
    assert await claimed(shelf, now=after(seconds=5)) == expected


async def test_a_subscription_that_becomes_ordered_is_handed_nothing_from_then_on(shelf: Shelf, hand: Hand) -> None:
    subscription = await shelf.subscribe()
    await shelf.change(msgspec.structs.replace(subscription, ordered=True), identity=subscription.id)
    await shelf.deliver()
    assert hand.taken == []


async def test_whoever_has_others_due_is_handed_nothing_past_them(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    hand.room = 0
    first = await shelf.deliver()
    hand.room = 8
    second = await shelf.deliver(at=after(seconds=1))
    assert hand.taken == []
    assert await claimed(shelf, now=after(seconds=1)) == [first.id, second.id]
    third = await shelf.deliver(at=after(seconds=2))
    assert hand.taken == [third.id]


async def test_a_retry_that_is_not_due_yet_keeps_nobody_from_being_handed_over(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    failed = await shelf.deliver()
    await shelf.settle(failed, status=DeliveryStatus.PENDING, next_at=after(minutes=1))
    fresh = await shelf.deliver(at=after(seconds=1))
    assert hand.taken == [failed.id, fresh.id]
    late = await shelf.deliver(at=after(minutes=1))
    assert await claimed(shelf, now=after(minutes=1)) == [failed.id, late.id]


async def test_nobody_is_handed_anything_after_he_was_told_so(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    shelf.store.hand_to(None)
    delivery = await shelf.deliver()
    assert (hand.asked, hand.taken) == (0, [])
    assert await claimed(shelf) == [delivery.id]


async def test_what_could_not_be_recorded_was_not_handed_over(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    [first, second] = [await shelf.add_open_task() for _ in range(2)]
    callback = shelf.callback(first)
    await shelf.finish(first, callback=callback)
    asked, hand.jobs = hand.asked, []
    with pytest.raises(StoreError):
        await shelf.finish(second, callback=shelf.callback(second, id=callback.id))
    assert hand.asked > asked
    assert hand.taken == []


async def test_what_was_tried_in_vain_together_with_a_culprit_is_handed_over_once(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    tasks = [await shelf.add_open_task() for _ in range(5)]
    culprit = shelf.callback(tasks[0])
    await asyncio.gather(*(
        shelf.finish(task, callback=msgspec.structs.replace(culprit, task_id=task.id) if at < 2 else shelf.callback(task))
        for at, task in enumerate(tasks)), return_exceptions=True)
    recorded = [delivery.id for delivery in await shelf.deliveries()]
    assert len(recorded) == 4
    assert sorted(hand.taken) == sorted(recorded)


async def test_the_taker_is_called_in_the_event_loop_and_before_the_next_change_is_recorded(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    tasks = [await shelf.add_open_task() for _ in range(2)]
    first = asyncio.create_task(shelf.finish(tasks[0]))
    await first
    assert len(hand.taken) == 1
    await shelf.finish(tasks[1])
    assert len(hand.taken) == 2
    assert hand.threads == {threading.get_ident()}


Step = Callable[[Shelf, Subscription, Job], Awaitable[object]]


@pytest.mark.parametrize("step", [
    pytest.param(lambda shelf, one, _: shelf.store.set_subscription_status(
        shelf.account_id, one.id, SubscriptionStatus.PAUSED, now=NOW), id="paused"),
    pytest.param(lambda shelf, one, _: shelf.store.set_subscription_status(
        shelf.account_id, one.id, SubscriptionStatus.ACTIVE, now=NOW), id="resumed"),
    pytest.param(lambda shelf, one, _: shelf.change(msgspec.structs.replace(one, sealed_secret="new"), identity=one.id), id="its secret"),
    pytest.param(lambda shelf, one, _: shelf.store.remove_subscription(shelf.account_id, one.id, now=NOW), id="deleted"),
    pytest.param(lambda shelf, _, job: shelf.store.erase_task(shelf.account_id, job.delivery.task_id or "", now=NOW), id="its task erased"),
    pytest.param(lambda shelf, _, job: shelf.settle(job.delivery, status=DeliveryStatus.PENDING, next_at=NOW), id="it fails now"),
])
async def test_a_job_is_not_current_any_more_once_something_changes(shelf: Shelf, hand: Hand, step: Step) -> None:
    subscription = await shelf.subscribe()
    await shelf.deliver()
    assert shelf.store.is_current(hand.jobs[0])
    await step(shelf, subscription, hand.jobs[0])
    assert not shelf.store.is_current(hand.jobs[0])


async def test_a_job_stays_current_whatever_other_accounts_do_and_tasks(shelf: Shelf, hand: Hand) -> None:
    await shelf.subscribe()
    await shelf.deliver()
    await shelf.deliver()
    await shelf.add_account("other")
    await shelf.subscribe()
    assert [shelf.store.is_current(job) for job in hand.jobs] == [True, True]


async def test_a_claimed_job_is_current_until_something_changes(shelf: Shelf) -> None:
    subscription, _ = await shelf.subscribe(), await shelf.deliver()
    [job] = await shelf.claim_jobs()
    assert shelf.store.is_current(job)
    await shelf.change(subscription, identity=subscription.id)
    assert not shelf.store.is_current(job)
