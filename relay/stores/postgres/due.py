"""What is due in the lanes whose turn it is.

Of an ordered subscription, what waits behind an earlier delivery of the same task is marked `behind` when a claim meets it, and out
of the way until that one has ended.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from relay.stores.postgres.transaction import Transaction
from relay.stores.row import micros

_DEEPEST_LOOK: Final = 64  # how many of one ordered subscription's due deliveries a claim looks at, to find one that may go


async def first_due(transaction: Transaction, rooms: Mapping[str, int], now: datetime) -> dict[str, list[int]]:
    """The first due deliveries of each subscription, as many as there is room for."""
    rows = await transaction.fetch(
        """SELECT found.seq, wanted.id AS subscription_id
        FROM unnest(CAST(:ids AS text[]), CAST(:rooms AS bigint[])) AS wanted (id, room) CROSS JOIN LATERAL (
            SELECT seq, next_attempt_at FROM deliveries WHERE subscription_id = wanted.id AND status = 'pending' AND holder IS NULL
            AND NOT behind AND next_attempt_at <= :now ORDER BY next_attempt_at, seq LIMIT wanted.room) AS found
        ORDER BY found.next_attempt_at, found.seq""",
        {"ids": list(rooms), "rooms": list(rooms.values()), "now": micros(now)}) if rooms else []
    found: dict[str, list[int]] = {subscription_id: [] for subscription_id in rooms}
    for row in rows:
        found[row["subscription_id"]].append(row["seq"])
    return found


async def heads(transaction: Transaction, subscription_ids: Sequence[str], now: datetime) -> dict[str, list[int]]:
    """Of each ordered subscription the due deliveries that wait for no other one. The one that others wait for is kept from ending before
    they are marked: who ends it takes back the marks that it finds. Where it ends just now, they are left for the next claim."""
    waiting = await first_due(transaction, dict.fromkeys(subscription_ids, _DEEPEST_LOOK), now)
    rows = await transaction.fetch(
        """SELECT later.seq, (SELECT earlier.seq FROM deliveries AS earlier WHERE earlier.subscription_id = later.subscription_id
            AND earlier.task_id = later.task_id AND earlier.status = 'pending' AND earlier.seq < later.seq
            ORDER BY earlier.seq LIMIT 1) AS head
        FROM deliveries AS later WHERE later.seq = ANY(CAST(:seqs AS bigint[])) AND later.task_id IS NOT NULL""",
        {"seqs": [seq for found in waiting.values() for seq in found]})
    head_of = {row["seq"]: row["head"] for row in rows if row["head"] is not None}
    if head_of:
        await _mark_behind(transaction, head_of)
    return {key: [seq for seq in found if seq not in head_of] for key, found in waiting.items()}


async def _mark_behind(transaction: Transaction, head_of: Mapping[int, int]) -> None:
    locked = await transaction.fetch(
        "SELECT seq FROM deliveries WHERE seq = ANY(CAST(:seqs AS bigint[])) AND next_attempt_at IS NOT NULL FOR SHARE SKIP LOCKED",
        {"seqs": list(set(head_of.values()))})
    heads = {row["seq"] for row in locked}
    await transaction.run(
        """UPDATE deliveries SET behind = true WHERE seq IN (
            SELECT seq FROM deliveries WHERE seq = ANY(CAST(:seqs AS bigint[])) AND next_attempt_at IS NOT NULL AND holder IS NULL
            FOR UPDATE SKIP LOCKED)""",
        {"seqs": [seq for seq, head in head_of.items() if head in heads]})
