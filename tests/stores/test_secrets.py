"""Sealed secrets, read and written when they are sealed with a newer key."""

from typing import Any

import msgspec
import pytest

from relay.model import Subscription
from relay.ports import Sealed
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio

_ALL: dict[str, Any] = {
    "sealed_headers": "headers", "sealed_secret": "secret", "previous_sealed_secret": "old secret", "sealed_private_key": "private",
    "previous_sealed_private_key": "old private", "sealed_callback_secret": "callback",
}


def sealed(subscription: Subscription, **fields: str) -> Sealed:
    return Sealed(subscription_id=subscription.id, **fields)


async def found(shelf: Shelf, subscription: Subscription) -> Subscription:
    there = await shelf.store.subscription(shelf.account_id, subscription.id)
    assert there is not None
    return there


async def test_sealed_secrets_are_read_in_stretches_whoever_they_belong_to(shelf: Shelf) -> None:
    first = await shelf.subscribe(**_ALL)
    await shelf.add_account("other")
    second, third = await shelf.subscribe(), await shelf.subscribe()
    stretch = await shelf.store.sealed_secrets(after=None, limit=2)
    assert stretch == [sealed(first, **_ALL), sealed(second, sealed_secret="sealed")]
    assert await shelf.store.sealed_secrets(after=second.id, limit=2) == [sealed(third, sealed_secret="sealed")]
    assert await shelf.store.sealed_secrets(after=third.id, limit=2) == []


async def test_the_secrets_of_a_tasks_own_subscription_are_among_them(shelf: Shelf) -> None:
    task = shelf.task()
    own = shelf.subscription(task_id=task.id)
    await shelf.store.add_task(task, due_at=NOW, callback=own)
    assert await shelf.store.sealed_secrets(after=None, limit=9) == [sealed(own, sealed_secret="sealed")]


async def test_those_of_a_deleted_subscription_are_not(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    assert await shelf.store.sealed_secrets(after=None, limit=9) == []


async def test_each_field_becomes_what_it_is_to_be(shelf: Shelf) -> None:
    subscription = await shelf.subscribe(**_ALL, previous_secret_until=after(hours=1))
    new = {name: f"{value} anew" for name, value in _ALL.items()}
    await shelf.store.reseal([(sealed(subscription, **_ALL), sealed(subscription, **new))])
    assert await found(shelf, subscription) == msgspec.structs.replace(subscription, **new)


async def test_what_is_not_named_stays_and_so_do_the_others(shelf: Shelf) -> None:
    subscription, other = await shelf.subscribe(**_ALL), await shelf.subscribe(**_ALL)
    await shelf.store.reseal([(sealed(subscription, sealed_secret="secret"), sealed(subscription, sealed_secret="anew"))])
    assert await found(shelf, subscription) == msgspec.structs.replace(subscription, sealed_secret="anew")
    assert await found(shelf, other) == other


async def test_what_its_owner_changed_meanwhile_stays_as_it_is(shelf: Shelf) -> None:
    subscription = await shelf.subscribe(**_ALL)
    rotated = msgspec.structs.replace(subscription, sealed_secret="rotated")
    await shelf.change(rotated, identity="i")
    new = {name: f"{value} anew" for name, value in _ALL.items()}
    await shelf.store.reseal([(sealed(subscription, **_ALL), sealed(subscription, **new))])
    assert await found(shelf, subscription) == msgspec.structs.replace(rotated, **(new | {"sealed_secret": "rotated"}))
