"""What older keys sealed is sealed anew."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from relay.bell import Bell
from relay.delivery.resealing import Resealer
from relay.errors import StoreError
from relay.ids import new_id
from relay.model import Account, Subscription
from relay.ports import Sealed, Store
from relay.signing import derive_key
from relay.stores.sqlite import open_store
from relay.vault import SecretLost, Vault
from tests.delivery.made import ACCOUNT, NOW, link, make_subscription

pytestmark = pytest.mark.anyio

OLD, NEW = derive_key("o" * 32, "vault"), derive_key("n" * 32, "vault")
OLDER, NEWER, BOTH = Vault([OLD]), Vault([NEW]), Vault([NEW, OLD])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "relay.db", bell=Bell(), link=link, new_id=new_id)
    await store.add_account(Account(id=ACCOUNT, name="default", created_at=NOW))
    yield store
    await store.close()


class Slippery:
    """The store, but in the first batch its owner alters a subscription that was read before; or its second batch fails."""

    def __init__(self, store: Store, *, writes_back: Subscription | None = None, fails: bool = False) -> None:
        self._store = store
        self._writes_back = writes_back
        self._fails = fails
        self.batches: list[int] = []

    async def sealed_secrets(self, *, after: str | None, limit: int) -> list[Sealed]:
        return await self._store.sealed_secrets(after=after, limit=limit)

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> None:
        if self._fails and self.batches:
            raise StoreError("the disk is full")
        self.batches.append(len(changes))
        await self._store.reseal(changes)
        if (before := self._writes_back) and len(self.batches) == 1:
            await self._store.change_subscription(ACCOUNT, before.id, lambda _: before, identity=lambda _: "i")


async def subscribe(store: Store, number: int, vault: Vault = OLDER) -> list[Subscription]:
    """In the order of ids."""
    made = [make_subscription(id=one, sealed_secret=vault.seal(f"secret {index}"), sealed_headers=vault.seal("{}"),
                              previous_sealed_private_key=vault.seal("old key"))
            for index, one in enumerate(sorted(new_id("sub") for _ in range(number)))]
    for subscription in made:
        await store.add_subscription(subscription, identity=subscription.id, now=NOW)
    return made


async def opened(store: Store, subscription: Subscription, vault: Vault = NEWER) -> tuple[str, str, str]:
    there = await store.subscription(ACCOUNT, subscription.id)
    assert there is not None
    assert there.sealed_headers is not None
    assert there.previous_sealed_private_key is not None
    return vault.open(there.sealed_secret), vault.open(there.sealed_headers), vault.open(there.previous_sealed_private_key)


async def test_afterwards_the_newest_key_opens_everything(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made = await subscribe(store, 7)
    slippery = Slippery(store)
    await Resealer(slippery, BOTH, batch=3).run(asyncio.Event())
    assert [await opened(store, one) for one in made] == [(f"secret {index}", "{}", "old key") for index in range(7)]
    assert slippery.batches == [3, 3, 1]
    assert caplog.messages == ["the secrets of 7 subscriptions were sealed anew with the newest of RELAY_SECRET_KEYS"]


async def test_what_the_newest_key_sealed_is_left_alone(store: Store) -> None:
    [made] = await subscribe(store, 1, NEWER)
    slippery = Slippery(store)
    await Resealer(slippery, BOTH).run(asyncio.Event())
    assert slippery.batches == []
    assert await store.subscription(ACCOUNT, made.id) == made


async def test_what_was_written_back_as_it_was_is_found_in_another_round(store: Store) -> None:
    first, *_ = made = await subscribe(store, 4)
    stale = msgspec.structs.replace(first, description="read before, written after")
    await Resealer(Slippery(store, writes_back=stale), BOTH, batch=2).run(asyncio.Event())
    assert [(await opened(store, one))[0] for one in made] == [f"secret {index}" for index in range(4)]


async def test_a_store_that_fails_keeps_what_is_done_and_the_next_start_does_the_rest(
        store: Store, caplog: pytest.LogCaptureFixture) -> None:
    made = await subscribe(store, 4)
    await Resealer(Slippery(store, fails=True), BOTH, batch=2).run(asyncio.Event())
    assert caplog.messages == ["stored secrets are not all sealed with the newest of RELAY_SECRET_KEYS yet: the disk is full"]
    assert [await opened(store, one) for one in made[:2]]
    with pytest.raises(SecretLost):
        await opened(store, made[3])
    await Resealer(store, BOTH, batch=2).run(asyncio.Event())
    assert [await opened(store, one) for one in made]


async def test_a_secret_that_is_lost_is_told_and_holds_up_no_other(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    [lost] = await subscribe(store, 1, Vault([derive_key("x" * 32, "vault")]))
    [kept] = await subscribe(store, 1)
    await Resealer(store, BOTH).run(asyncio.Event())
    assert caplog.messages[-1] == f"1 subscriptions have secrets that none of RELAY_SECRET_KEYS opens, {lost.id} among them"
    assert await opened(store, kept)
    assert await store.subscription(ACCOUNT, lost.id) == lost


async def test_it_stops_when_it_is_to(store: Store) -> None:
    await subscribe(store, 2)
    stopping, slippery = asyncio.Event(), Slippery(store)
    stopping.set()
    await Resealer(slippery, BOTH, batch=1).run(stopping)
    assert slippery.batches == []
