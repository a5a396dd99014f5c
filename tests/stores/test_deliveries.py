"""Deliveries: claimed, given back, settled, asked for by hand, listed."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from relay.model import (
    Attempt,
    DeliveryStatus,
    DisabledReason,
    Subscription,
    SubscriptionStatus,
    TaskStatus,
)
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio


async def health(shelf: Shelf, subscription: Subscription) -> tuple[SubscriptionStatus, Any, Any]:
    found = await shelf.store.subscription(shelf.account_id, subscription.id)
    assert found is not None
    return found.status, found.disabled_reason, found.failing_since


async def slowness(shelf: Shelf, subscription: Subscription) -> int:
    found = await shelf.store.subscription(shelf.account_id, subscription.id)
    assert found is not None
    return found.slowness


async def test_a_job_holds_all_that_is_needed_to_attempt_it(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    delivery = await shelf.deliver()
    [job] = await shelf.claim_jobs()
    assert (job.delivery, job.subscription) == (delivery, subscription)
    assert job.event == await shelf.store.event(shelf.account_id, delivery.event_id)
    assert job.task is not None
    assert (job.task.id, job.task.status) == (delivery.task_id, TaskStatus.SUCCEEDED)


async def test_a_job_of_an_event_that_speaks_of_no_task_has_none(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.add_event(shelf.event(subscription_id=subscription.id))
    [job] = await shelf.claim_jobs()
    assert job.task is None


async def test_deliveries_are_claimed_when_they_are_due_longest_due_first(shelf: Shelf) -> None:
    rooms = {(await shelf.subscribe()).id: 2}
    made = [await shelf.deliver(at=after(seconds=seconds)) for seconds in (3, 1, 2, 9)]
    claim = await shelf.store.claim_deliveries(limit=9, now=after(seconds=5), rooms=rooms)
    assert [job.delivery.id for job in claim.jobs] == [made[1].id, made[2].id]
    assert claim.next_at is not None
    assert claim.next_at <= after(seconds=5)
    claim = await shelf.store.claim_deliveries(limit=9, now=after(seconds=5), rooms=rooms)
    assert ([job.delivery.id for job in claim.jobs], claim.next_at) == ([made[0].id], after(seconds=9))
    assert (await shelf.store.claim_deliveries(limit=9, now=after(seconds=5), rooms=rooms)).jobs == []


async def test_of_each_subscription_as_many_are_claimed_as_it_has_room_for_or_one(shelf: Shelf) -> None:
    wide, unknown, full = [await shelf.subscribe() for _ in range(3)]
    for _ in range(5):
        await shelf.deliver_to_all()
    claimed = Counter(job.subscription.id for job in await shelf.claim_jobs(rooms={wide.id: 3, full.id: 0}))
    assert claimed == {wide.id: 3, unknown.id: 1}


async def test_where_not_all_can_be_claimed_each_subscription_has_its_turn(shelf: Shelf) -> None:
    busy = [await shelf.subscribe() for _ in range(4)]
    rooms = {one.id: 9 for one in busy}
    for _ in range(5):
        await shelf.deliver_to_all()
    late = await shelf.subscribe(events=("ping",))
    await shelf.store.add_event(shelf.event(subscription_id=late.id, created_at=after(seconds=1)))
    turns = [Counter(job.subscription.id for job in await shelf.claim_jobs(limit=4, now=after(seconds=second), rooms=rooms))
             for second in (2, 3)]
    assert turns[0] == {one.id: 1 for one in busy}
    assert late.id in turns[1]


async def test_what_waited_is_confirmed_with_its_subscription_as_it_is_now(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.deliver()
    [job] = await shelf.claim_jobs()
    moved = msgspec.structs.replace(subscription, url="https://b.example/hook")
    await shelf.change(moved, identity="b")
    assert await shelf.store.confirm_job(job) == msgspec.structs.replace(job, subscription=moved)


async def test_what_was_held_or_cancelled_while_it_waited_is_not_confirmed(shelf: Shelf) -> None:
    paused, removed = await shelf.subscribe(), await shelf.subscribe()
    await shelf.deliver_to_all()
    jobs = await shelf.claim_jobs()
    assert len(jobs) == 2
    await shelf.store.set_subscription_status(shelf.account_id, paused.id, SubscriptionStatus.PAUSED, now=NOW)
    await shelf.store.remove_subscription(shelf.account_id, removed.id, now=NOW)
    assert [await shelf.store.confirm_job(job) for job in jobs] == [None, None]


async def test_of_several_values_of_slowness_the_last_one_stands(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    made = [await shelf.deliver() for _ in range(3)]
    await shelf.store.settle([shelf.settlement(made[0], slowness=4), shelf.settlement(made[1], slowness=3)], now=NOW)
    assert await slowness(shelf, subscription) == 3
    await shelf.settle(made[2])
    assert await slowness(shelf, subscription) == 3


async def test_a_claim_without_anything_pending_has_no_next_time(shelf: Shelf) -> None:
    claim = await shelf.store.claim_deliveries(limit=2, now=NOW)
    assert (claim.jobs, claim.next_at) == ([], None)


async def test_deliveries_of_full_subscriptions_are_left(shelf: Shelf) -> None:
    full, free = await shelf.subscribe(), await shelf.subscribe()
    await shelf.finish(await shelf.add_open_task())
    claim = await shelf.store.claim_deliveries(limit=9, now=NOW, rooms={full.id: 0})
    assert ([job.subscription.id for job in claim.jobs], claim.next_at) == ([free.id], None)
    assert [job.subscription.id for job in await shelf.claim_jobs()] == [full.id]


async def test_no_delivery_is_claimed_twice(shelf: Shelf) -> None:
    await shelf.subscribe()
    made = [await shelf.deliver() for _ in range(12)]
    claims = await asyncio.gather(*(shelf.claim_jobs(rooms={made[0].subscription_id: 3}) for _ in range(8)))
    assert sorted(job.delivery.id for jobs in claims for job in jobs) == sorted(delivery.id for delivery in made)


async def test_a_released_delivery_is_due_as_before(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    assert await shelf.claim_jobs() == []
    await shelf.store.release_deliveries([delivery.id, "dlv_none"])
    [job] = await shelf.claim_jobs()
    assert job.delivery == delivery


async def test_a_success_ends_the_delivery(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    settlement = shelf.settlement(delivery)
    await shelf.store.settle([settlement], now=after(seconds=1))
    found = await shelf.delivery(delivery)
    assert (found.status, found.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert (found.next_attempt_at, found.completed_at) == (None, after(seconds=1))
    assert await shelf.store.attempts(shelf.account_id, delivery.id) == [settlement.attempt]
    assert await shelf.claim_jobs(now=after(days=1)) == []


async def test_a_failure_comes_again_at_its_time(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    await shelf.settle(delivery, status=DeliveryStatus.PENDING, next_at=after(seconds=5))
    found = await shelf.delivery(delivery)
    assert (found.status, found.attempts, found.next_attempt_at, found.completed_at) == (DeliveryStatus.PENDING, 1, after(seconds=5), None)
    assert await shelf.claim_jobs(now=after(seconds=4)) == []
    assert [job.delivery for job in await shelf.claim_jobs(now=after(seconds=5))] == [found]


async def test_the_last_failure_exhausts_the_delivery(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    await shelf.settle(delivery, status=DeliveryStatus.EXHAUSTED)
    found = await shelf.delivery(delivery)
    assert (found.status, found.next_attempt_at, found.completed_at) == (DeliveryStatus.EXHAUSTED, None, NOW)


async def test_attempts_come_back_oldest_first_as_they_were_recorded(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    attempts = [
        Attempt(id="att_2", delivery_id=delivery.id, number=1, started_at=NOW, duration_ms=20_000.5, error="no answer within 20 s"),
        Attempt(id="att_1", delivery_id=delivery.id, number=2, started_at=after(seconds=5), duration_ms=3.25, status_code=500,
                response_body="od\x00d \ufffd"),
    ]
    for attempt in attempts:
        await shelf.settle(delivery, attempt=attempt, status=DeliveryStatus.PENDING, next_at=NOW)
    assert await shelf.store.attempts(shelf.account_id, delivery.id) == attempts
    assert await shelf.store.attempts(await shelf.add_account("other"), delivery.id) == []


async def test_many_settlements_at_once_each_reach_their_delivery(shelf: Shelf) -> None:
    await shelf.subscribe()
    made = [await shelf.deliver() for _ in range(12)]
    await shelf.claim_jobs()
    good, bad = made[:6], made[6:]
    await asyncio.gather(
        shelf.store.settle([shelf.settlement(delivery) for delivery in good[:3]], now=NOW),
        shelf.store.settle([shelf.settlement(delivery) for delivery in good[3:]], now=NOW),
        *(shelf.settle(delivery, status=DeliveryStatus.EXHAUSTED) for delivery in bad))
    statuses = {delivery.id: delivery.status for delivery in await shelf.deliveries()}
    assert statuses == {**{one.id: DeliveryStatus.DELIVERED for one in good}, **{one.id: DeliveryStatus.EXHAUSTED for one in bad}}


async def test_of_several_outcomes_of_one_delivery_all_are_counted_and_the_last_one_stands(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    failure = shelf.settlement(delivery, status=DeliveryStatus.PENDING, next_at=after(minutes=1))
    await shelf.store.settle([failure, shelf.settlement(delivery)], now=NOW)
    settled = await shelf.delivery(delivery)
    assert (settled.status, settled.attempts) == (DeliveryStatus.DELIVERED, 2)
    assert len(await shelf.store.attempts(shelf.account_id, delivery.id)) == 2


async def test_nothing_to_settle_is_nothing_to_do(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    await shelf.store.settle([], now=NOW)
    await shelf.settle(msgspec.structs.replace(delivery, id="dlv_none"))
    assert await shelf.delivery(delivery) == delivery


async def test_a_failure_sets_failing_since_once_and_a_success_clears_it(shelf: Shelf) -> None:
    subscription, delivery = await shelf.claimed()
    for seconds in (1, 2):
        await shelf.settle(delivery, now=after(seconds=seconds), status=DeliveryStatus.PENDING, next_at=NOW)
        assert await health(shelf, subscription) == (SubscriptionStatus.ACTIVE, None, after(seconds=1))
    await shelf.settle(delivery)
    assert await health(shelf, subscription) == (SubscriptionStatus.ACTIVE, None, None)


async def test_disabling_holds_what_is_pending_this_one_too(shelf: Shelf) -> None:
    subscription, delivery = await shelf.claimed()
    waiting = await shelf.deliver()
    await shelf.settle(delivery, status=DeliveryStatus.PENDING, next_at=after(seconds=5), disable=DisabledReason.FAILING)
    assert await health(shelf, subscription) == (SubscriptionStatus.DISABLED, DisabledReason.FAILING, NOW)
    assert [one.status for one in await shelf.deliveries()] == [DeliveryStatus.HELD, DeliveryStatus.HELD]
    assert (await shelf.delivery(waiting)).next_attempt_at is None
    assert (await shelf.deliver()).status is DeliveryStatus.HELD
    assert await shelf.claim_jobs(now=after(days=1)) == []


async def test_a_delivery_that_ends_as_its_subscription_is_disabled_is_over(shelf: Shelf) -> None:
    _, delivery = await shelf.claimed()
    waiting = await shelf.deliver()
    await shelf.settle(delivery, status=DeliveryStatus.EXHAUSTED, disable=DisabledReason.GONE)
    assert (await shelf.delivery(delivery)).status is DeliveryStatus.EXHAUSTED
    assert (await shelf.delivery(waiting)).status is DeliveryStatus.HELD


async def test_a_tasks_own_subscription_is_never_disabled(shelf: Shelf) -> None:
    task = shelf.task()
    own = shelf.subscription(task_id=task.id)
    await shelf.store.add_task(task, due_at=NOW, callback=own)
    await shelf.finish(task)
    [job] = await shelf.claim_jobs()
    await shelf.settle(job.delivery, status=DeliveryStatus.EXHAUSTED, disable=DisabledReason.GONE)
    assert (await health(shelf, own))[:2] == (SubscriptionStatus.ACTIVE, None)


@pytest.mark.parametrize(("becomes", "stays"), [
    (DeliveryStatus.PENDING, True), (DeliveryStatus.EXHAUSTED, True), (DeliveryStatus.DELIVERED, False)])
@pytest.mark.parametrize("stood", [DeliveryStatus.HELD, DeliveryStatus.CANCELLED])
async def test_what_was_put_aside_meanwhile_stays_so_unless_it_was_delivered(
        shelf: Shelf, stood: DeliveryStatus, becomes: DeliveryStatus, stays: bool) -> None:  # noqa: FBT001 -- a test's parameter
    subscription, delivery = await shelf.claimed()
    if stood is DeliveryStatus.HELD:
        await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    else:
        await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    await shelf.settle(delivery, status=becomes, next_at=NOW if becomes is DeliveryStatus.PENDING else None)
    assert (await shelf.delivery(delivery)).status is (stood if stays else becomes)
    assert len(await shelf.store.attempts(shelf.account_id, delivery.id)) == 1


async def test_a_delivery_that_was_held_under_way_is_sent_again_after_it_was_given_back(shelf: Shelf) -> None:
    subscription, delivery = await shelf.claimed()
    for status in (SubscriptionStatus.PAUSED, SubscriptionStatus.ACTIVE):
        await shelf.store.set_subscription_status(shelf.account_id, subscription.id, status, now=NOW)
    assert await shelf.claim_jobs() == []
    await shelf.settle(delivery, status=DeliveryStatus.PENDING, next_at=after(seconds=5))
    assert [job.delivery.id for job in await shelf.claim_jobs(now=after(seconds=5))] == [delivery.id]


async def test_an_attempt_for_a_paused_subscription_that_fails_is_held(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    held = await shelf.deliver()
    await shelf.store.retry_delivery(shelf.account_id, held.id, now=NOW)
    [job] = await shelf.claim_jobs()
    await shelf.settle(job.delivery, status=DeliveryStatus.PENDING, next_at=NOW)
    assert (await shelf.delivery(held)).status is DeliveryStatus.HELD
