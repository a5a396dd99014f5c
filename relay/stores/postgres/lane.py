"""Deliveries taken up to be sent.

The table `lanes` holds each subscription for which something waits once, with the time when its next delivery may be due, and the process
that sends to it (see tenure). A claim reads from there whose turn it is among its own and those of nobody, takes from each what it has
room for, and writes down when its turn comes again: where more is due already that is now, behind all others, so that they take turns.
So a claim touches what it takes and little else, whether ten deliveries wait or ten million, and nothing of those subscriptions that have
no room, or whose deliveries are being moved (see move).

A transaction that makes something due has the lane locked until it commits, and so has a claim: that is why a claim never sets a lane to
a time that is later than what it does not see yet. A claim waits for nobody: what others have locked it passes by (SKIP LOCKED), and comes
again.

What is found by its number is pending if it has a next attempt: were `status` asked for, an index of all that is pending might be read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay.model import Subscription
from relay.ports.store import Job, JobClaim
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.due import first_due, heads
from relay.stores.postgres.routing import Router
from relay.stores.postgres.tenure import Tenure
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Single, Writer
from relay.stores.row import Row, micros, moment, read_delivery, read_event, read_subscription, read_task
from relay.stores.turns import in_turns, share

NOTHING_WAITS: Final = 2**63 - 1
"""`lanes.due_at` of one that is kept though nothing waits there."""

_LOCKED_PAUSE: Final = timedelta(milliseconds=20)  # whoever has locked what is due is about to commit


class _Wish(Struct, frozen=True):
    """What a call of `claim_deliveries` asks for."""

    limit: int
    now: datetime
    rooms: Mapping[str, int]

    def room(self, subscription_id: str) -> int:
        return self.rooms.get(subscription_id, 1)

    @property
    def full(self) -> list[str]:
        return [subscription_id for subscription_id, room in self.rooms.items() if room <= 0]


class Lanes:
    """The store's lease of deliveries."""

    def __init__(self, readers: Readers, writer: Writer, router: Router, holder: str, tenure: Tenure) -> None:
        self._readers = readers
        self._writer = writer
        self._router = router
        self._holder = holder
        self._tenure = tenure

    async def claim_deliveries(self, *, limit: int, now: datetime, rooms: Mapping[str, int] | None = None) -> JobClaim:
        """Claims of one process come one after another: two at a time would only pass by what the other one looks at."""
        return await self._writer.write(self._claim_all, _Wish(limit, now, rooms or {}), undo=self._unclaim)

    async def confirm_job(self, job: Job) -> Job | None:
        row = await self._readers.fetch_one(
            """SELECT subscriptions.* FROM deliveries_shown AS shown JOIN subscriptions ON subscriptions.id = shown.subscription_id
            WHERE shown.id = :id AND shown.status = 'pending' AND shown.holder = :holder""",
            {"id": job.delivery.id, "holder": self._holder})
        return None if row is None else msgspec.structs.replace(job, subscription=read_subscription(row))

    async def release_deliveries(self, delivery_ids: Sequence[str]) -> None:
        await self._writer.write_alone(self._release(delivery_ids))

    async def give_up_unused(self) -> None:
        """Lanes of no use any more, unless something of theirs is under way here."""
        unused = self._tenure.unused()
        if unused:
            spans = self._tenure.forget(unused)
            left = await self._writer.write_alone(lambda transaction: _give_up(transaction, self._holder, unused))
            self._tenure.recall({subscription_id: spans[subscription_id] for subscription_id in left})

    async def _claim_all(self, transaction: Transaction, wishes: Sequence[_Wish]) -> list[JobClaim]:
        return [await self._claim(transaction, wish) for wish in wishes]

    async def _claim(self, transaction: Transaction, wish: _Wish) -> JobClaim:
        lanes = await _lock_due_lanes(transaction, self._holder, wish)
        rows = await self._take(transaction, lanes, wish) if lanes else []
        next_at = await _next_at(transaction, self._holder, wish)
        if next_at is not None and not rows:
            next_at = max(next_at, wish.now + _LOCKED_PAUSE)
        return JobClaim(jobs=await self._jobs(transaction, rows) if rows else [], next_at=next_at)

    async def _take(self, transaction: Transaction, lanes: Mapping[str, Row], wish: _Wish) -> list[Row]:
        """The rows of deliveries, now leased, the longest due first."""
        most = share(wish.limit, len(lanes))
        free = {key: min(wish.room(key), most) for key, lane in lanes.items() if not lane["ordered"]}
        waiting = await first_due(transaction, free, wish.now)
        ordered = [key for key, lane in lanes.items() if lane["ordered"]]
        if ordered:
            waiting.update(await heads(transaction, ordered, wish.now))
        seqs = in_turns({key: found[:free.get(key, 1)] for key, found in waiting.items()}, wish.limit)
        rows = await transaction.fetch(
            """UPDATE deliveries SET holder = :holder WHERE seq IN (
                SELECT seq FROM deliveries WHERE seq = ANY(CAST(:seqs AS bigint[])) AND next_attempt_at IS NOT NULL AND holder IS NULL
                FOR UPDATE SKIP LOCKED)
            RETURNING *""", {"seqs": seqs, "holder": self._holder}) if seqs else []
        await _move_turns(transaction, self._holder, lanes, wish.now)
        return sorted(rows, key=lambda row: (row["next_attempt_at"], row["seq"]))

    async def _jobs(self, transaction: Transaction, rows: Sequence[Row]) -> list[Job]:
        found = await _subscriptions_of(transaction, rows)
        events, tasks = await _events_of(transaction, rows), await _tasks_of(transaction, rows)
        for row in found.values():
            self._router.saw(row["account_id"], row["changes"])
        subscriptions = {key: read_subscription(row) for key, row in found.items()}
        transaction.afterwards(lambda: self._keep(list(subscriptions.values())))
        return [
            Job(delivery=read_delivery(row), subscription=subscriptions[row["subscription_id"]], event=read_event(events[row["event_id"]]),
                task=read_task(tasks[row["task_id"]]) if row["task_id"] in tasks else None,
                seen=found[row["subscription_id"]]["changes"])
            for row in rows
        ]

    def _keep(self, subscriptions: Sequence[Subscription]) -> None:
        for subscription in subscriptions:
            if subscription.task_id is None:
                self._tenure.use(subscription)

    def _release(self, delivery_ids: Sequence[str]) -> Single[None]:
        async def release(transaction: Transaction) -> None:
            await transaction.run(
                "UPDATE deliveries SET holder = NULL WHERE id = ANY(CAST(:ids AS text[])) AND holder = :holder",
                {"ids": list(delivery_ids), "holder": self._holder})
            transaction.ring("deliveries")

        return release

    def _unclaim(self, claim: JobClaim) -> Single[None]:
        """It may be that the server is still about to commit it (see writer): that is over when its rows can be locked."""
        ids = [job.delivery.id for job in claim.jobs]

        async def unclaim(transaction: Transaction) -> None:
            await transaction.run("SELECT FROM deliveries WHERE id = ANY(CAST(:ids AS text[])) ORDER BY seq FOR UPDATE", {"ids": ids})
            await self._release(ids)(transaction)

        return unclaim


async def _lock_due_lanes(transaction: Transaction, holder: str, wish: _Wish) -> dict[str, Row]:
    """The subscriptions whose turn it is; none if this process was taken for dead."""
    rows = await transaction.fetch(
        """WITH due AS (
            (SELECT subscription_id FROM lanes WHERE holder = :holder AND due_at <= :now
            AND subscription_id <> ALL (CAST(:full AS text[])) AND subscription_id NOT IN (SELECT subscription_id FROM moves)
            ORDER BY due_at LIMIT :limit)
            UNION ALL
            (SELECT subscription_id FROM lanes WHERE holder IS NULL AND due_at <= :now
            AND subscription_id <> ALL (CAST(:full AS text[])) AND subscription_id NOT IN (SELECT subscription_id FROM moves)
            ORDER BY due_at LIMIT :limit))
        SELECT lanes.subscription_id, subscriptions.ordered, subscriptions.task_id IS NOT NULL AS is_own FROM lanes
        JOIN subscriptions ON subscriptions.id = lanes.subscription_id
        WHERE lanes.subscription_id IN (SELECT subscription_id FROM due) AND lanes.due_at <= :now
        AND (lanes.holder = :holder OR lanes.holder IS NULL)
        AND EXISTS (SELECT 1 FROM processes WHERE id = :holder FOR KEY SHARE)
        ORDER BY lanes.due_at LIMIT :limit FOR UPDATE OF lanes SKIP LOCKED""",
        {"holder": holder, "now": micros(wish.now), "limit": wish.limit, "full": wish.full})
    return {row["subscription_id"]: row for row in rows}


async def _move_turns(transaction: Transaction, holder: str, lanes: Mapping[str, Row], now: datetime) -> None:
    """When each is to be looked at again. A task's own subscription hears of one event: nothing is kept for it."""
    await transaction.run(
        """WITH next AS MATERIALIZED (
            SELECT lane.id, lane.is_own, (
                SELECT next_attempt_at FROM deliveries WHERE subscription_id = lane.id AND status = 'pending' AND deliveries.holder IS NULL
                AND NOT behind ORDER BY next_attempt_at LIMIT 1) AS at
            FROM unnest(CAST(:ids AS text[]), CAST(:own AS boolean[])) AS lane (id, is_own)),
        gone AS (DELETE FROM lanes USING next WHERE subscription_id = next.id AND next.is_own AND next.at IS NULL)
        UPDATE lanes SET holder = :holder, due_at = CASE WHEN next.at IS NULL THEN :never ELSE greatest(next.at, :now) END
        FROM next WHERE subscription_id = next.id AND NOT (next.is_own AND next.at IS NULL)""",
        {"ids": list(lanes), "own": [lane["is_own"] for lane in lanes.values()], "holder": holder, "now": micros(now),
         "never": NOTHING_WAITS})


async def _next_at(transaction: Transaction, holder: str, wish: _Wish) -> datetime | None:
    row = await transaction.fetch_one(
        """SELECT least(
            (SELECT due_at FROM lanes WHERE holder = :holder AND subscription_id <> ALL (CAST(:full AS text[]))
            AND subscription_id NOT IN (SELECT subscription_id FROM moves) ORDER BY due_at LIMIT 1),
            (SELECT due_at FROM lanes WHERE holder IS NULL AND subscription_id <> ALL (CAST(:full AS text[]))
            AND subscription_id NOT IN (SELECT subscription_id FROM moves) ORDER BY due_at LIMIT 1)) AS at""",
        {"holder": holder, "full": wish.full})
    return None if row is None or row["at"] in (None, NOTHING_WAITS) else moment(row["at"])


async def _give_up(transaction: Transaction, holder: str, subscription_ids: Sequence[str]) -> list[str]:
    """Those that are kept, because something is under way, or comes just now. Whether it does is looked for once the lanes are locked:
    a claim that was committed the moment before would not be seen by the statement that locks them."""
    parameters: dict[str, Any] = {"ids": list(subscription_ids), "holder": holder, "never": NOTHING_WAITS}
    locked = await transaction.fetch(
        "SELECT subscription_id FROM lanes WHERE subscription_id = ANY(CAST(:ids AS text[])) AND holder = :holder FOR UPDATE SKIP LOCKED",
        parameters)
    parameters["ids"] = [row["subscription_id"] for row in locked]
    idle = await transaction.fetch(
        """SELECT id FROM unnest(CAST(:ids AS text[])) AS given (id) WHERE NOT EXISTS (
            SELECT 1 FROM deliveries WHERE deliveries.holder = :holder AND deliveries.subscription_id = given.id)""", parameters)
    parameters["ids"] = [row["id"] for row in idle]
    await transaction.run(
        "DELETE FROM lanes WHERE subscription_id = ANY(CAST(:ids AS text[])) AND due_at = :never", parameters)
    waiting = await transaction.fetch(
        "UPDATE lanes SET holder = NULL WHERE subscription_id = ANY(CAST(:ids AS text[])) RETURNING subscription_id", parameters)
    if waiting:
        transaction.ring("deliveries")
    return [subscription_id for subscription_id in subscription_ids if subscription_id not in parameters["ids"]]


async def _subscriptions_of(transaction: Transaction, rows: Sequence[Row]) -> dict[str, Row]:
    """With how many changes of the account's there were by then."""
    found = await transaction.fetch(
        """SELECT subscriptions.*, accounts.changes FROM subscriptions JOIN accounts ON accounts.id = subscriptions.account_id
        WHERE subscriptions.id = ANY(CAST(:ids AS text[]))""", _ids(rows, "subscription_id"))
    return {row["id"]: row for row in found}


async def _events_of(transaction: Transaction, rows: Sequence[Row]) -> dict[str, Row]:
    found = await transaction.fetch("SELECT * FROM events WHERE id = ANY(CAST(:ids AS text[]))", _ids(rows, "event_id"))
    return {row["id"]: row for row in found}


async def _tasks_of(transaction: Transaction, rows: Sequence[Row]) -> dict[str, Row]:
    found = await transaction.fetch("SELECT * FROM tasks WHERE id = ANY(CAST(:ids AS text[]))", _ids(rows, "task_id"))
    return {row["id"]: row for row in found}


def _ids(rows: Sequence[Row], column: str) -> dict[str, list[str]]:
    return {"ids": list({row[column] for row in rows if row[column] is not None})}
