"""One at a time, over all processes: locks that end with the transaction.

An account's: whoever inserts events or deliveries of it, or changes its subscriptions, holds it from before it reads what it decides by
until its commit. So events are numbered in the order of their commits, and nobody is told past a pause. Rows of tasks are locked
before it, all others after it.
"""

import functools
import hashlib
from collections.abc import Iterable

from relay.stores.postgres.transaction import Transaction


async def lock_accounts(transaction: Transaction, account_ids: Iterable[str]) -> None:
    """In one order for all, so that nobody waits for somebody who waits for it."""
    await lock(transaction, *(f"account {account_id}" for account_id in set(account_ids)))


async def try_lock_accounts(transaction: Transaction, account_ids: Iterable[str]) -> bool:
    """The same for whoever has locked what comes after them: False if it would have to wait for one of them."""
    row = await transaction.fetch_one(
        "SELECT bool_and(pg_try_advisory_xact_lock(key)) AS locked FROM unnest(CAST(:keys AS bigint[])) AS given (key)",
        {"keys": [key_of(f"account {account_id}") for account_id in set(account_ids)]})
    return row is not None and row["locked"] is True


async def lock(transaction: Transaction, *names: str) -> None:
    """Wait for the locks of these names. What is read by the statements after it was committed before, or is locked out."""
    await transaction.run(
        "SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS given (key)", {"keys": sorted(map(key_of, names))})


@functools.lru_cache(maxsize=4096)
def key_of(name: str) -> int:
    """The number that stands for this lock."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"relay").digest(), "big", signed=True)
