"""Accounts and keys."""

from typing import Any

import pytest

from relay.errors import Conflict
from relay.model import Account, Key, Scope
from relay.ports.store import Store
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio


def make_key(shelf: Shelf, **given: Any) -> Key:
    return Key(**{"id": shelf.id("key"), "account_id": shelf.account_id, "name": "ci", "hash": shelf.id("hash"),
                  "scopes": (Scope.SUBMIT, Scope.READ), "created_at": NOW, **given})


async def test_an_account_is_found_by_id_and_by_name(store: Store) -> None:
    account = Account(id="acc_1", name="studio", created_at=NOW)
    assert await store.add_account(account) == account
    assert await store.account("acc_1") == account
    assert await store.account("studio") == account
    assert await store.account("nobody") is None


async def test_a_name_that_is_taken_is_a_conflict(store: Store) -> None:
    await store.add_account(Account(id="acc_1", name="studio", created_at=NOW))
    with pytest.raises(Conflict):
        await store.add_account(Account(id="acc_2", name="studio", created_at=NOW))
    assert await store.account("acc_2") is None


async def test_accounts_are_listed_newest_first_in_pages(store: Store) -> None:
    for number in range(5):
        await store.add_account(Account(id=f"acc_{number}", name=f"n{number}", created_at=NOW))
    first = await store.accounts(limit=3)
    assert [account.id for account in first.data] == ["acc_4", "acc_3", "acc_2"]
    assert first.next_cursor == "acc_2"
    second = await store.accounts(limit=3, cursor=first.next_cursor)
    assert [account.id for account in second.data] == ["acc_1", "acc_0"]
    assert second.next_cursor is None


async def test_a_page_that_holds_exactly_the_rest_is_the_last(store: Store) -> None:
    for number in range(3):
        await store.add_account(Account(id=f"acc_{number}", name=f"n{number}", created_at=NOW))
    assert (await store.accounts(limit=3)).next_cursor is None


async def test_a_key_is_found_by_its_hash_with_its_account(shelf: Shelf) -> None:
    key = make_key(shelf)
    await shelf.store.add_key(key)
    assert await shelf.store.key(key.hash) == (key, await shelf.store.account(shelf.account_id))
    assert await shelf.store.key("another") is None


async def test_a_key_with_the_same_id_is_replaced(shelf: Shelf) -> None:
    old = make_key(shelf)
    new = make_key(shelf, id=old.id, hash="changed", scopes=(Scope.ADMIN,))
    await shelf.store.add_key(old)
    await shelf.store.add_key(new)
    assert await shelf.store.key(old.hash) is None
    found = await shelf.store.key("changed")
    assert found is not None
    assert found[0] == new


async def test_a_key_that_another_id_has_in_force_is_a_conflict(shelf: Shelf) -> None:
    key = make_key(shelf)
    await shelf.store.add_key(key)
    with pytest.raises(Conflict):
        await shelf.store.add_key(make_key(shelf, hash=key.hash))


async def test_a_revoked_key_is_neither_found_nor_listed(shelf: Shelf) -> None:
    kept, revoked = make_key(shelf), make_key(shelf)
    for key in (kept, revoked):
        await shelf.store.add_key(key)
    assert await shelf.store.revoke_key(shelf.account_id, revoked.id, now=after(seconds=1))
    assert await shelf.store.key(revoked.hash) is None
    assert (await shelf.store.keys(shelf.account_id, limit=10)).data == [kept]


async def test_a_key_can_be_revoked_once_and_by_its_own_account_only(shelf: Shelf) -> None:
    key = make_key(shelf)
    await shelf.store.add_key(key)
    other = await shelf.add_account("other")
    assert not await shelf.store.revoke_key(other, key.id, now=NOW)
    assert await shelf.store.revoke_key(key.account_id, key.id, now=NOW)
    assert not await shelf.store.revoke_key(key.account_id, key.id, now=NOW)


async def test_keys_are_listed_newest_first_in_pages_to_their_own_account(shelf: Shelf) -> None:
    keys = [make_key(shelf) for _ in range(3)]
    for key in keys:
        await shelf.store.add_key(key)
    first = await shelf.store.keys(shelf.account_id, limit=2)
    assert first.data == [keys[2], keys[1]]
    assert (await shelf.store.keys(shelf.account_id, limit=2, cursor=first.next_cursor)).data == [keys[0]]
    other = await shelf.add_account("other")
    assert (await shelf.store.keys(other, limit=2)).data == []
