"""Deliveries taken up to be sent.

The table `lanes` holds each subscription for which something waits once, with the time when its next delivery may be due. A claim
reads from there whose turn it is, takes from each what it has room for, and writes down when its turn comes again: where more is due
already that is now, behind all others, so that they take turns. So a claim touches what it takes and little else, whether ten
deliveries wait or ten million, and nothing of those subscriptions that have no room, or whose deliveries are being moved (see move).

Of an ordered subscription, what waits behind an earlier delivery of the same task is marked `behind` when a claim meets it, and out
of the way until that one has ended.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from relay.model import Event, Subscription, Task
from relay.ports.store import Job, JobClaim
from relay.stores.row import json_text, micros, moment_or_none, read_delivery, read_event, read_subscription, read_task
from relay.stores.sqlite.connection import Parameters, Readers, Row
from relay.stores.sqlite.routing import Router
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Single, Writer
from relay.stores.turns import in_turns, share

_DEEPEST_LOOK: Final = 64  # how many of one ordered subscription's due deliveries a claim looks at, to find one that may go


class Lanes:
    """The store's lease of deliveries."""

    def __init__(self, readers: Readers, writer: Writer, router: Router) -> None:
        self._readers = readers
        self._writer = writer
        self._router = router

    async def claim_deliveries(self, *, limit: int, now: datetime, rooms: Mapping[str, int] | None = None) -> JobClaim:
        known = rooms or {}
        full = json_text([subscription_id for subscription_id, room in known.items() if room <= 0])

        def claim(transaction: Transaction) -> JobClaim:
            lanes = _due_lanes(transaction, limit, now, full)
            rows = _take(transaction, lanes, known, limit, now) if lanes else []
            following = transaction.fetch_one(
                """SELECT due_at FROM lanes WHERE subscription_id NOT IN (
                    SELECT value FROM json_each(:full) UNION ALL SELECT subscription_id FROM moves)
                ORDER BY due_at LIMIT 1""", {"full": full})
            return JobClaim(
                jobs=self._jobs(transaction, rows) if rows else [], next_at=moment_or_none(following["due_at"]) if following else None)

        return await self._writer.write_alone(claim, undo=_unclaim)

    def _jobs(self, transaction: Transaction, rows: Sequence[Row]) -> list[Job]:
        subscriptions, events = _subscriptions_by_id(transaction, rows), _events_by_id(transaction, rows)
        tasks = _tasks_by_id(transaction, rows)
        return [
            Job(delivery=read_delivery(row), subscription=subscriptions[row["subscription_id"]], event=events[row["event_id"]],
                task=tasks.get(row["task_id"]), seen=self._router.changes(row["account_id"]))
            for row in rows
        ]

    async def confirm_job(self, job: Job) -> Job | None:
        row = await self._readers.fetch_one(
            """SELECT subscriptions.* FROM deliveries_shown AS shown JOIN subscriptions ON subscriptions.id = shown.subscription_id
            WHERE shown.id = :id AND shown.status = 'pending'""", {"id": job.delivery.id})
        return None if row is None else msgspec.structs.replace(job, subscription=read_subscription(row))

    async def release_deliveries(self, delivery_ids: Sequence[str]) -> None:
        await self._writer.write_alone(_release(delivery_ids))


def _due_lanes(transaction: Transaction, limit: int, now: datetime, full: str) -> dict[str, bool]:
    """The subscriptions whose turn it is, each with whether it is ordered."""
    rows = transaction.fetch(
        """SELECT lanes.subscription_id, subscriptions.ordered FROM lanes
        JOIN subscriptions ON subscriptions.id = lanes.subscription_id
        WHERE lanes.due_at <= :now AND lanes.subscription_id NOT IN (
            SELECT value FROM json_each(:full) UNION ALL SELECT subscription_id FROM moves)
        ORDER BY lanes.due_at LIMIT :limit""", {"now": micros(now), "limit": limit, "full": full})
    return {row["subscription_id"]: bool(row["ordered"]) for row in rows}


def _take(transaction: Transaction, lanes: Mapping[str, bool], rooms: Mapping[str, int], limit: int, now: datetime) -> list[Row]:
    """The rows of deliveries, now leased, the longest due first."""
    ordered = [key for key, is_ordered in lanes.items() if is_ordered]
    free = {key: rooms.get(key, 1) for key, is_ordered in lanes.items() if not is_ordered}
    waiting = _waiting(transaction, list(free), min(max(free.values(), default=0), share(limit, len(lanes))), now)
    if ordered:
        waiting.update(_heads(transaction, ordered, now))
    seqs = in_turns({key: found[:free.get(key, 1)] for key, found in waiting.items()}, limit)
    rows = transaction.fetch(
        "UPDATE deliveries SET leased = 1 WHERE seq IN (SELECT value FROM json_each(:seqs)) RETURNING *",
        {"seqs": json_text(seqs)}) if seqs else []
    _move_turns(transaction, list(lanes), now)
    return sorted(rows, key=lambda row: (row["next_attempt_at"], row["seq"]))


def _waiting(transaction: Transaction, subscription_ids: Sequence[str], most: int, now: datetime) -> dict[str, list[int]]:
    """The first so many due deliveries of each subscription."""
    rows = transaction.fetch(
        """SELECT deliveries.seq, deliveries.subscription_id, deliveries.next_attempt_at
        FROM json_each(:ids) AS wanted CROSS JOIN deliveries WHERE deliveries.seq IN (
            SELECT seq FROM deliveries WHERE subscription_id = wanted.value AND status = 'pending' AND leased = 0 AND behind = 0
            AND next_attempt_at <= :now ORDER BY next_attempt_at, seq LIMIT :most)""",
        {"ids": json_text(list(subscription_ids)), "most": most, "now": micros(now)})
    found: dict[str, list[int]] = {subscription_id: [] for subscription_id in subscription_ids}
    for row in sorted(rows, key=lambda row: (row["next_attempt_at"], row["seq"])):
        found[row["subscription_id"]].append(row["seq"])
    return found


def _heads(transaction: Transaction, subscription_ids: Sequence[str], now: datetime) -> dict[str, list[int]]:
    """Of each ordered subscription the due deliveries that wait for no other one."""
    waiting = _waiting(transaction, subscription_ids, _DEEPEST_LOOK, now)
    rows = transaction.fetch(
        """UPDATE deliveries SET behind = 1 WHERE seq IN (SELECT value FROM json_each(:seqs)) AND task_id IS NOT NULL AND EXISTS (
            SELECT 1 FROM deliveries AS earlier WHERE earlier.subscription_id = deliveries.subscription_id
            AND earlier.task_id = deliveries.task_id AND earlier.status = 'pending' AND earlier.seq < deliveries.seq)
        RETURNING seq""", {"seqs": json_text([seq for found in waiting.values() for seq in found])})
    behind = {row["seq"] for row in rows}
    return {key: [seq for seq in found if seq not in behind] for key, found in waiting.items()}


def _move_turns(transaction: Transaction, subscription_ids: Sequence[str], now: datetime) -> None:
    """When each is to be looked at again; not at all if nothing waits for it."""
    ids = json_text(list(subscription_ids))
    transaction.run(
        """DELETE FROM lanes WHERE subscription_id IN (SELECT value FROM json_each(:ids)) AND NOT EXISTS (
            SELECT 1 FROM deliveries WHERE deliveries.subscription_id = lanes.subscription_id AND status = 'pending' AND leased = 0
            AND behind = 0)""", {"ids": ids})
    transaction.run(
        """UPDATE lanes SET due_at = max(:now, (
            SELECT next_attempt_at FROM deliveries WHERE deliveries.subscription_id = lanes.subscription_id AND status = 'pending'
            AND leased = 0 AND behind = 0 ORDER BY next_attempt_at LIMIT 1))
        WHERE subscription_id IN (SELECT value FROM json_each(:ids))""", {"ids": ids, "now": micros(now)})


def _ids(rows: Sequence[Row], column: str) -> Parameters:
    return {"ids": json_text(list({row[column] for row in rows if row[column] is not None}))}


def _subscriptions_by_id(transaction: Transaction, rows: Sequence[Row]) -> dict[str, Subscription]:
    found = transaction.fetch(
        "SELECT * FROM subscriptions WHERE id IN (SELECT value FROM json_each(:ids))", _ids(rows, "subscription_id"))
    return {row["id"]: read_subscription(row) for row in found}


def _events_by_id(transaction: Transaction, rows: Sequence[Row]) -> dict[str, Event]:
    found = transaction.fetch("SELECT * FROM events WHERE id IN (SELECT value FROM json_each(:ids))", _ids(rows, "event_id"))
    return {row["id"]: read_event(row) for row in found}


def _tasks_by_id(transaction: Transaction, rows: Sequence[Row]) -> dict[str | None, Task]:
    found = transaction.fetch("SELECT * FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))", _ids(rows, "task_id"))
    return {row["id"]: read_task(row) for row in found}


def _release(delivery_ids: Sequence[str]) -> Single[None]:
    def release(transaction: Transaction) -> None:
        transaction.run(
            "UPDATE deliveries SET leased = 0 WHERE id IN (SELECT value FROM json_each(:ids))", {"ids": json_text(list(delivery_ids))})
        transaction.ring("deliveries")

    return release


def _unclaim(claim: JobClaim) -> Single[None]:
    return _release([job.delivery.id for job in claim.jobs])
