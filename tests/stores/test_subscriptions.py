"""Subscriptions: who wants to hear, and what their status makes of what waits for them."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from relay.errors import Conflict
from relay.model import DeliveryStatus, DisabledReason, Subscription, SubscriptionStatus
from relay.ports.store import SubscriptionFilter
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio

_EVERYTHING: dict[str, Any] = {
    "events": ("task.*", "ping"), "providers": ("kie",), "metadata": {"order": 17, "rush": True}, "format": "provider",
    "description": "the studio's", "sealed_headers": "sealed headers", "rate_per_second": 0.5, "max_concurrent": 4, "ordered": True,
    "retry_schedule": (0.0, 5.0, 300.0), "signatures": ("v1", "v1a"), "template": {"text": ["{id}"]}, "verify": "echo",
    "allow_cidrs": ("10.0.0.0/8",), "previous_sealed_secret": "old", "public_key": "public",
    "sealed_private_key": "private", "previous_sealed_private_key": "old private", "previous_secret_until": after(days=1),
    "sealed_callback_secret": "sealed callback",
}


async def found(shelf: Shelf, subscription: Subscription) -> Subscription:
    there = await shelf.store.subscription(shelf.account_id, subscription.id)
    assert there is not None
    return there


async def disable(shelf: Shelf, subscription: Subscription) -> None:
    """By an attempt that was answered 410."""
    event = shelf.event(subscription_id=subscription.id)
    [delivery] = await shelf.store.add_event(event)
    await shelf.settle(delivery, status=DeliveryStatus.EXHAUSTED, disable=DisabledReason.GONE)


@pytest.mark.parametrize("given", [{}, _EVERYTHING, {"providers": (), "metadata": {}, "retry_schedule": ()}],
                         ids=["plain", "everything", "empty"])
async def test_a_subscription_comes_back_as_it_was_recorded(shelf: Shelf, given: dict[str, Any]) -> None:
    subscription = shelf.subscription(**given)
    assert await shelf.store.add_subscription(subscription, identity="i", now=NOW) == (subscription, True)
    assert await found(shelf, subscription) == subscription


async def test_the_same_identity_gives_the_one_that_exists(shelf: Shelf) -> None:
    first = shelf.subscription()
    await shelf.store.add_subscription(first, identity="i", now=NOW)
    assert await shelf.store.add_subscription(shelf.subscription(), identity="i", now=NOW) == (first, False)
    assert (await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(), limit=9)).data == [first]


async def test_the_same_identity_at_the_same_instant_makes_one(shelf: Shelf) -> None:
    made = await asyncio.gather(*(
        shelf.store.add_subscription(shelf.subscription(), identity="i", now=NOW) for _ in range(10)))
    assert len({subscription.id for subscription, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1


async def test_an_identity_belongs_to_its_account(shelf: Shelf) -> None:
    await shelf.store.add_subscription(shelf.subscription(), identity="i", now=NOW)
    await shelf.add_account("other")
    assert (await shelf.store.add_subscription(shelf.subscription(), identity="i", now=NOW))[1]


async def test_the_same_identity_makes_a_paused_one_active_again_with_what_was_held(shelf: Shelf) -> None:
    subscription = shelf.subscription()
    await shelf.store.add_subscription(subscription, identity="i", now=NOW)
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    held = await shelf.deliver()
    assert await shelf.store.add_subscription(shelf.subscription(), identity="i", now=after(seconds=9)) == (subscription, False)
    delivery = await shelf.delivery(held)
    assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.PENDING, after(seconds=9))


async def test_the_same_identity_makes_a_disabled_one_active_again(shelf: Shelf) -> None:
    subscription = shelf.subscription()
    await shelf.store.add_subscription(subscription, identity="i", now=NOW)
    await disable(shelf, subscription)
    assert (await found(shelf, subscription)).disabled_reason is DisabledReason.GONE
    again, is_new = await shelf.store.add_subscription(shelf.subscription(), identity="i", now=NOW)
    assert (again, is_new) == (subscription, False)
    assert await found(shelf, subscription) == subscription


async def test_the_identity_of_a_deleted_one_is_free(shelf: Shelf) -> None:
    first, second = shelf.subscription(), shelf.subscription()
    await shelf.store.add_subscription(first, identity="i", now=NOW)
    await shelf.store.remove_subscription(shelf.account_id, first.id, now=NOW)
    assert await shelf.store.add_subscription(second, identity="i", now=NOW) == (second, True)


async def test_a_subscription_is_nothing_to_another_account(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    other = await shelf.add_account("other")
    assert await shelf.store.subscription(other, subscription.id) is None
    assert (await shelf.store.subscriptions(other, SubscriptionFilter(), limit=9)).data == []
    assert not await shelf.store.remove_subscription(other, subscription.id, now=NOW)
    assert await shelf.store.set_subscription_status(other, subscription.id, SubscriptionStatus.PAUSED, now=NOW) is None
    assert not await shelf.change(msgspec.structs.replace(subscription, account_id=other), identity="x")
    assert await shelf.store.subscription(subscription.account_id, subscription.id) == subscription


async def test_subscriptions_are_listed_newest_first_in_pages_and_by_url(shelf: Shelf) -> None:
    made = [await shelf.subscribe(url=f"https://{name}.example/") for name in "aba"]
    first = await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(), limit=2)
    assert first.data == [made[2], made[1]]
    assert (await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(), limit=2, cursor=first.next_cursor)).data == [made[0]]
    of_a = SubscriptionFilter(url="https://a.example/")
    assert (await shelf.store.subscriptions(shelf.account_id, of_a, limit=9)).data == [made[2], made[0]]


async def test_changing_writes_what_the_owner_may_set_and_not_the_status(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    changed = msgspec.structs.replace(subscription, url="https://b.example/", sealed_secret="new", **_EVERYTHING)
    sick = msgspec.structs.replace(changed, failing_since=NOW, status=SubscriptionStatus.ACTIVE)
    assert await shelf.change(sick, identity="changed")
    assert await found(shelf, subscription) == msgspec.structs.replace(changed, status=SubscriptionStatus.PAUSED)


async def test_a_changed_subscription_is_known_by_its_new_identity(shelf: Shelf) -> None:
    subscription = shelf.subscription()
    await shelf.store.add_subscription(subscription, identity="old", now=NOW)
    assert await shelf.change(subscription, identity="new")
    assert await shelf.store.add_subscription(shelf.subscription(), identity="new", now=NOW) == (subscription, False)
    assert (await shelf.store.add_subscription(shelf.subscription(), identity="old", now=NOW))[1]


async def test_an_identity_that_is_anothers_is_a_conflict(shelf: Shelf) -> None:
    one, other = shelf.subscription(), shelf.subscription()
    await shelf.store.add_subscription(one, identity="one", now=NOW)
    await shelf.store.add_subscription(other, identity="other", now=NOW)
    with pytest.raises(Conflict):
        await shelf.change(msgspec.structs.replace(one, url="https://c.example/"), identity="other")
    assert await found(shelf, one) == one
    assert await shelf.change(one, identity="one")


async def test_changes_at_the_same_instant_build_upon_each_other(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    rotation = {"sealed_secret": "new", "previous_sealed_secret": subscription.sealed_secret}
    changes: list[dict[str, Any]] = [{"url": "https://b.example/"}, {"events": ("ping",)}, rotation]
    made = await asyncio.gather(*(shelf.store.change_subscription(
        shelf.account_id, subscription.id, partial(msgspec.structs.replace, **change), identity=lambda one: one.url) for change in changes))
    last = await found(shelf, subscription)
    assert last == msgspec.structs.replace(subscription, **changes[0] | changes[1] | changes[2])
    assert last in made


async def test_a_change_that_is_refused_as_it_is_made_writes_nothing(shelf: Shelf) -> None:
    def refuse(_: Subscription) -> Subscription:
        raise Conflict("not like this")

    subscription = await shelf.subscribe()
    with pytest.raises(Conflict, match="not like this"):
        await shelf.store.change_subscription(shelf.account_id, subscription.id, refuse, identity=lambda _: "i")
    assert await found(shelf, subscription) == subscription


async def test_a_deleted_subscription_cannot_be_changed(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    assert not await shelf.change(subscription, identity="i")
    assert await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW) is None


async def test_pausing_holds_what_is_pending(shelf: Shelf) -> None:
    subscription, other = await shelf.subscribe(), await shelf.subscribe()
    await shelf.finish(await shelf.add_open_task())
    paused = await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    assert paused == msgspec.structs.replace(subscription, status=SubscriptionStatus.PAUSED) == await found(shelf, subscription)
    [held] = await shelf.deliveries(subscription_id=subscription.id)
    assert (held.status, held.next_attempt_at) == (DeliveryStatus.HELD, None)
    assert [job.subscription.id for job in await shelf.claim_jobs()] == [other.id]


async def test_resuming_makes_held_ones_due_at_once_oldest_first(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    held = [await shelf.deliver(at=after(seconds=seconds)) for seconds in range(4)]
    resumed = await shelf.store.set_subscription_status(
        shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=after(minutes=1))
    assert resumed == subscription
    jobs = await shelf.claim_jobs(now=after(minutes=1), rooms={subscription.id: 9})
    assert [job.delivery.id for job in jobs] == [delivery.id for delivery in held]


async def test_resuming_clears_the_reason_and_the_health(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await disable(shelf, subscription)
    sick = await found(shelf, subscription)
    assert (sick.status, sick.failing_since) == (SubscriptionStatus.DISABLED, NOW)
    resumed = await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW)
    assert resumed == subscription == await found(shelf, subscription)


async def test_resuming_can_leave_held_ones_for_later(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    old = await shelf.deliver()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW, keep_held=True)
    new = await shelf.deliver()
    assert [job.delivery.id for job in await shelf.claim_jobs()] == [new.id]
    assert (await shelf.delivery(old)).status is DeliveryStatus.HELD
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW)
    assert [job.delivery.id for job in await shelf.claim_jobs()] == [old.id]


async def test_removing_cancels_what_waits_and_leaves_what_is_done(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    done, pending = await shelf.deliver(), await shelf.deliver()
    await shelf.settle(done)
    assert await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=after(seconds=3))
    assert await shelf.store.subscription(shelf.account_id, subscription.id) is None
    assert (await shelf.store.subscriptions(shelf.account_id, SubscriptionFilter(), limit=9)).data == []
    assert (await shelf.delivery(done)).status is DeliveryStatus.DELIVERED
    cancelled = await shelf.delivery(pending)
    assert (cancelled.status, cancelled.next_attempt_at, cancelled.completed_at) == (DeliveryStatus.CANCELLED, None, after(seconds=3))
    assert len(await shelf.deliveries()) == 2


async def test_removing_cancels_what_is_held(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.PAUSED, now=NOW)
    held = await shelf.deliver()
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    assert (await shelf.delivery(held)).status is DeliveryStatus.CANCELLED


async def test_removing_again_is_true_and_one_that_never_was_is_false(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    assert await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    assert await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    assert not await shelf.store.remove_subscription(shelf.account_id, "sub_none", now=NOW)
