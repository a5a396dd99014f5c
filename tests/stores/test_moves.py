"""Subscriptions for which very much waits: what becomes of that follows their status in steps, and nobody can tell."""

import asyncio

import pytest

from relay.bell import Bell
from relay.model import Delivery, DeliveryStatus, DisabledReason, Replay, Subscription, SubscriptionStatus
from relay.ports.store import DeliveryFilter
from relay.stores.sqlite.move import STEP
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio

_MANY = 2 * STEP + 5


async def crowded(shelf: Shelf) -> Subscription:
    """For which more waits than three steps move."""
    subscription = await shelf.subscribe()
    event = shelf.event(subscription_id=subscription.id)
    await shelf.store.add_event(event)
    await asyncio.gather(*(shelf.store.add_delivery(shelf.account_id, event.id, subscription.id, now=NOW) for _ in range(_MANY - 1)))
    return subscription


async def turn(shelf: Shelf, subscription: Subscription, status: SubscriptionStatus, *, minutes: int = 1, keep_held: bool = False) -> None:
    assert await shelf.store.set_subscription_status(
        shelf.account_id, subscription.id, status, now=after(minutes=minutes), keep_held=keep_held)


async def pause(shelf: Shelf, subscription: Subscription) -> None:
    await turn(shelf, subscription, SubscriptionStatus.PAUSED)


async def move_all(shelf: Shelf) -> int:
    steps = 0
    while await shelf.store.move_deliveries():
        steps += 1
    return steps


async def listed(shelf: Shelf, status: DeliveryStatus) -> list[Delivery]:
    """Those that stand so, oldest first."""
    page = await shelf.store.deliveries(shelf.account_id, DeliveryFilter(status=status), limit=10 * _MANY)
    return sorted(page.data, key=lambda delivery: delivery.id)


async def test_many_are_held_at_once_for_all_to_see_and_none_is_claimed_before_the_last(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    await pause(shelf, subscription)
    seen = await listed(shelf, DeliveryStatus.HELD)
    assert len(seen) == _MANY
    assert {delivery.next_attempt_at for delivery in seen} == {None}
    assert (await shelf.store.claim_deliveries(limit=100, now=after(hours=1))).next_at is None
    assert await move_all(shelf) == 2
    assert await listed(shelf, DeliveryStatus.HELD) == seen
    assert await shelf.claim_jobs(now=after(hours=1), rooms={subscription.id: 9}) == []


async def test_other_subscriptions_are_served_meanwhile(shelf: Shelf) -> None:
    crowd, other = await crowded(shelf), await shelf.subscribe()
    await pause(shelf, crowd)
    await shelf.store.add_event(shelf.event(subscription_id=other.id))
    assert [job.subscription.id for job in await shelf.claim_jobs()] == [other.id]


async def test_many_that_are_sent_again_are_claimed_oldest_first_and_what_is_new_behind_them(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    await pause(shelf, subscription)
    await move_all(shelf)
    held = await listed(shelf, DeliveryStatus.HELD)
    await turn(shelf, subscription, SubscriptionStatus.ACTIVE, minutes=2)
    pending = await listed(shelf, DeliveryStatus.PENDING)
    assert [delivery.next_attempt_at for delivery in pending] == [after(minutes=2)] * _MANY
    [new] = await shelf.store.add_event(shelf.event(subscription_id=subscription.id, created_at=after(minutes=3)))
    assert await shelf.claim_jobs(now=after(hours=1)) == []
    await move_all(shelf)
    jobs = await shelf.claim_jobs(now=after(hours=1), limit=2 * _MANY, rooms={subscription.id: 2 * _MANY})
    assert [job.delivery.id for job in jobs] == [delivery.id for delivery in (*held, new)]


async def test_what_was_held_can_be_kept_however_much_it_is(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    await pause(shelf, subscription)
    await turn(shelf, subscription, SubscriptionStatus.ACTIVE, keep_held=True)
    [new] = await shelf.store.add_event(shelf.event(subscription_id=subscription.id))
    await move_all(shelf)
    assert len(await listed(shelf, DeliveryStatus.HELD)) == _MANY
    assert [job.delivery.id for job in await shelf.claim_jobs(rooms={subscription.id: 9})] == [new.id]


@pytest.mark.parametrize("of", ["pending ones", "held ones", "some of both"])
async def test_many_are_cancelled_with_their_subscription_and_stay_listed(shelf: Shelf, of: str) -> None:
    subscription = await crowded(shelf)
    if of != "pending ones":
        await pause(shelf, subscription)
    if of == "held ones":
        await move_all(shelf)
    assert await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=after(minutes=4))
    seen = await listed(shelf, DeliveryStatus.CANCELLED)
    assert {(delivery.next_attempt_at, delivery.completed_at) for delivery in seen} == {(None, after(minutes=4))}
    assert await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=after(minutes=5))
    assert await shelf.claim_jobs(now=after(hours=1), rooms={subscription.id: 9}) == []
    await move_all(shelf)
    assert len(seen) == _MANY
    assert await listed(shelf, DeliveryStatus.CANCELLED) == seen


async def test_a_pause_that_comes_before_all_are_sent_again_holds_them_all(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    await pause(shelf, subscription)
    await turn(shelf, subscription, SubscriptionStatus.ACTIVE)
    await pause(shelf, subscription)
    await move_all(shelf)
    assert len(await listed(shelf, DeliveryStatus.HELD)) == _MANY


async def test_the_same_wish_sends_many_again_that_are_still_being_held(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    await pause(shelf, subscription)
    wish = shelf.subscription()
    assert await shelf.store.add_subscription(wish, identity=subscription.id, now=after(minutes=9)) == (subscription, False)
    await move_all(shelf)
    assert [delivery.next_attempt_at for delivery in await listed(shelf, DeliveryStatus.PENDING)] == [after(minutes=9)] * _MANY


async def test_one_that_is_retried_by_hand_while_the_others_are_being_held_is_sent_after_that(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    await pause(shelf, subscription)
    last = (await listed(shelf, DeliveryStatus.HELD))[-1]
    await shelf.store.retry_delivery(shelf.account_id, last.id, now=after(minutes=2))
    assert [delivery.id for delivery in await listed(shelf, DeliveryStatus.PENDING)] == [last.id]
    await move_all(shelf)
    assert [job.delivery.id for job in await shelf.claim_jobs(now=after(hours=1), rooms={subscription.id: 9})] == [last.id]


async def test_an_attempt_under_way_ends_as_if_all_had_been_moved(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    *_, failing, exhausted, delivered = [job.delivery for job in await shelf.claim_jobs(limit=_MANY, rooms={subscription.id: _MANY})]
    await pause(shelf, subscription)
    await shelf.settle(failing, status=DeliveryStatus.PENDING, next_at=NOW)
    await shelf.settle(exhausted, status=DeliveryStatus.EXHAUSTED)
    await shelf.settle(delivered)
    await move_all(shelf)
    statuses = [(await shelf.delivery(delivery)).status for delivery in (failing, exhausted, delivered)]
    assert statuses == [DeliveryStatus.HELD, DeliveryStatus.HELD, DeliveryStatus.DELIVERED]


async def test_what_stood_in_line_is_not_confirmed_once_it_is_to_be_held(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    *_, last = await shelf.claim_jobs(limit=_MANY, rooms={subscription.id: _MANY})
    await pause(shelf, subscription)
    assert await shelf.store.confirm_job(last) is None


async def test_a_subscription_that_is_disabled_holds_however_much_waits(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    [job] = await shelf.claim_jobs(rooms={subscription.id: 1})
    await shelf.settle(job.delivery, status=DeliveryStatus.EXHAUSTED, disable=DisabledReason.GONE)
    assert await shelf.claim_jobs(now=after(hours=1), rooms={subscription.id: 9}) == []
    await move_all(shelf)
    assert len(await listed(shelf, DeliveryStatus.HELD)) == _MANY - 1


async def test_moving_is_rung_for_when_steps_are_left_and_claiming_when_none_is(shelf: Shelf, bell: Bell) -> None:
    subscription = await crowded(shelf)
    with bell.listen("moves") as left, bell.listen("deliveries") as due:
        await pause(shelf, subscription)
        assert await left.wait(0)
        assert not await due.wait(0)
        await move_all(shelf)
        assert await due.wait(0)


async def test_a_replay_waits_until_all_are_moved(shelf: Shelf) -> None:
    subscription = await crowded(shelf)
    replay = Replay(id="rpl_1", account_id=shelf.account_id, subscription_id=subscription.id, until=after(hours=1), created_at=NOW)
    await shelf.store.add_replay(replay)
    await pause(shelf, subscription)
    await turn(shelf, subscription, SubscriptionStatus.ACTIVE)
    assert await shelf.store.replays_to_advance() == []
    await move_all(shelf)
    assert await shelf.store.replays_to_advance() == [replay.id]


async def test_few_are_moved_together_with_the_status(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.deliver()
    await pause(shelf, subscription)
    assert not await shelf.store.move_deliveries()
