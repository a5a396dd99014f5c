"""Tasks taken up and given back: to be sent, to be looked at.

A provider's limits hold for all processes together, so of its submissions one claim at a time counts and takes (an advisory lock). What
a claim takes names this process; a process that was taken for dead while it lived takes nothing any more.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from relay.model import Note, Task
from relay.ports.provider import Limits, Rate
from relay.ports.store import Claim
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.lock import lock
from relay.stores.postgres.note import insert_notes
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Single, Writer
from relay.stores.row import micros, moment, moment_or_none, read_task

_LARGEST_CLAIM: Final = 100  # where no limit is known; who claims comes again at once if there is more
_IN_DOUBT_PAUSE: Final = timedelta(milliseconds=20)  # what is due is locked by somebody who is about to commit


class Claims:
    """The store's lease of tasks."""

    def __init__(self, readers: Readers, writer: Writer, holder: str) -> None:
        self._readers = readers
        self._writer = writer
        self._holder = holder

    async def claim_submissions(self, provider: str, *, limits: Limits, deadline: timedelta, now: datetime) -> Claim:
        async def claim(transaction: Transaction) -> Claim:
            await lock(transaction, f"submissions to {provider}")
            room = await _room(transaction, provider, limits, now)
            taken = await self._take_queued(transaction, provider, room, now + deadline, now) if room > 0 else Claim(tasks=[])
            return await _with_prospect(transaction, taken, provider, limits, now)

        if not await self._has_queued(provider):
            return Claim(tasks=[])
        return await self._writer.write_alone(claim, undo=self._unclaim_submissions)

    async def _has_queued(self, provider: str) -> bool:
        """Every new task wakes all who send, in all processes, and nearly always for nothing: that is to cost one glance."""
        glance = "SELECT EXISTS (SELECT FROM tasks WHERE provider = :provider AND status = 'queued') AS some"
        row = await self._readers.fetch_one(glance, {"provider": provider})
        return bool(row and row["some"])

    async def defer_submission(self, task_id: str, *, until: datetime, note: Note | None, sends: int | None = None) -> None:
        async def defer(transaction: Transaction) -> None:
            # One that was accepted meanwhile (its callback came first) has reached the provider after all: never sent again. One that
            # another process holds was taken over from this one, which then cannot say what became of it.
            rows = await transaction.fetch(
                """UPDATE tasks SET holder = NULL, status = CASE WHEN accepted THEN status ELSE 'queued' END,
                due_at = CASE WHEN accepted THEN due_at ELSE :until END,
                submitted_at = CASE WHEN accepted THEN submitted_at END,
                deadline_at = CASE WHEN accepted THEN deadline_at END
                WHERE id = :id AND status IN ('submitted', 'processing') AND coalesce(holder, :holder) = :holder
                AND sends = coalesce(:sends, sends) RETURNING provider""",
                {"id": task_id, "until": micros(until), "holder": self._holder, "sends": sends})
            await insert_notes(transaction, [note] if note else [])
            if rows:
                transaction.ring("submissions", "polls", f"task:{task_id}", f"room:{rows[0]['provider']}")

        await self._writer.write_alone(defer)

    async def doubtful(self, provider: str) -> list[Task]:
        rows = await self._readers.fetch(
            """SELECT * FROM tasks WHERE provider = :provider AND status = 'submitted' AND NOT accepted AND holder IS NULL
            AND due_at IS NULL ORDER BY seq""", {"provider": provider})
        return [read_task(row) for row in rows]

    async def claim_polls(self, provider: str, *, limit: int, now: datetime) -> Claim:
        async def claim(transaction: Transaction) -> Claim:
            rows = await transaction.fetch(
                """UPDATE tasks SET holder = :holder WHERE seq IN (
                    SELECT seq FROM tasks WHERE provider = :provider AND status IN ('submitted', 'processing') AND holder IS NULL
                    AND due_at <= :now ORDER BY due_at, seq LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
                AND EXISTS (SELECT FROM processes WHERE id = :holder FOR KEY SHARE)
                RETURNING *""", {"provider": provider, "now": micros(now), "limit": limit, "holder": self._holder})
            following = await transaction.fetch_one(
                """SELECT min(due_at) AS at FROM tasks WHERE provider = :provider AND status IN ('submitted', 'processing')
                AND holder IS NULL AND due_at IS NOT NULL""", {"provider": provider})
            rows.sort(key=lambda row: (row["due_at"], row["seq"]))
            next_at = moment_or_none(following["at"]) if following else None
            return Claim(
                tasks=[read_task(row) for row in rows], next_at=next_at if rows else _not_at_once(next_at, now),
                due_since=moment_or_none(rows[0]["due_at"]) if rows else None)

        return await self._writer.write_alone(claim, undo=self._unclaim_polls)

    async def schedule(self, task_id: str, *, at: datetime, polled: bool, note: Note | None = None) -> None:
        async def schedule(transaction: Transaction) -> None:
            rows = await transaction.fetch(
                """UPDATE tasks SET due_at = least(:at, coalesce(deadline_at, :at),
                    CASE WHEN :polled OR provider_task_id IS NULL THEN :at ELSE coalesce(due_at, :at) END),
                holder = CASE WHEN holder <> :holder THEN holder END, polls = polls + CASE WHEN :polled THEN 1 ELSE 0 END
                WHERE id = :id AND status IN ('submitted', 'processing') RETURNING id""",
                {"id": task_id, "at": micros(at), "polled": polled, "holder": self._holder})
            if rows:
                await insert_notes(transaction, [note] if note else [])
                transaction.ring("polls")

        await self._writer.write_alone(schedule)

    async def _take_queued(self, transaction: Transaction, provider: str, room: int, deadline_at: datetime, now: datetime) -> Claim:
        due = await transaction.fetch(
            """SELECT seq, due_at FROM tasks WHERE provider = :provider AND status = 'queued' AND due_at <= :now
            ORDER BY created_at, seq LIMIT :room FOR NO KEY UPDATE SKIP LOCKED""",
            {"provider": provider, "now": micros(now), "room": room})
        rows = await transaction.fetch(
            """UPDATE tasks SET status = 'submitted', submitted_at = :now, sends = sends + 1, deadline_at = :deadline_at,
            holder = :holder, due_at = NULL
            WHERE seq = ANY(CAST(:seqs AS bigint[])) AND EXISTS (SELECT FROM processes WHERE id = :holder FOR KEY SHARE) RETURNING *""",
            {"now": micros(now), "deadline_at": micros(deadline_at), "holder": self._holder,
             "seqs": [row["seq"] for row in due]}) if due else []
        rows.sort(key=lambda row: (row["created_at"], row["seq"]))
        transaction.ring(*(f"task:{row['id']}" for row in rows))
        due_since = moment(min(row["due_at"] for row in due)) if rows else None
        return Claim(tasks=[read_task(row) for row in rows], due_since=due_since)

    def _unclaim_submissions(self, claim: Claim) -> Single[None]:
        """Nobody has seen the claim, so nothing was sent."""
        async def unclaim(transaction: Transaction) -> None:
            await _wait_for(transaction, claim)
            await transaction.run(
                """UPDATE tasks SET status = 'queued', due_at = submitted_at, submitted_at = NULL, sends = sends - 1,
                deadline_at = NULL, holder = NULL
                WHERE id = ANY(CAST(:ids AS text[])) AND status = 'submitted' AND NOT accepted AND holder = :holder""",
                {"ids": _ids(claim.tasks), "holder": self._holder})
            transaction.ring("submissions", *(f"room:{task.provider}" for task in claim.tasks))

        return unclaim

    def _unclaim_polls(self, claim: Claim) -> Single[None]:
        async def unclaim(transaction: Transaction) -> None:
            await _wait_for(transaction, claim)
            await transaction.run(
                "UPDATE tasks SET holder = NULL WHERE id = ANY(CAST(:ids AS text[])) AND holder = :holder",
                {"ids": _ids(claim.tasks), "holder": self._holder})
            transaction.ring("polls")

        return unclaim


async def _room(transaction: Transaction, provider: str, limits: Limits, now: datetime) -> int:
    """How many more may be sent now."""
    rooms = [_LARGEST_CLAIM]
    if limits.max_concurrent is not None:
        rooms.append(limits.max_concurrent - await _running(transaction, provider))
    if limits.rate is not None:
        row = await transaction.fetch_one(
            "SELECT count(*) AS sent FROM tasks WHERE provider = :provider AND sends > 0 AND submitted_at > :since",
            {"provider": provider, "since": _window_start(limits.rate, now)})
        rooms.append(limits.rate.count - (row["sent"] if row else 0))
    return min(rooms)


async def _running(transaction: Transaction, provider: str) -> int:
    row = await transaction.fetch_one(
        "SELECT count(*) AS running FROM tasks WHERE provider = :provider AND status IN ('submitted', 'processing') AND NOT watched",
        {"provider": provider})
    running: int = row["running"] if row else 0
    return running


def _window_start(rate: Rate, now: datetime) -> int:
    return micros(now - timedelta(seconds=rate.seconds))


async def _with_prospect(transaction: Transaction, taken: Claim, provider: str, limits: Limits, now: datetime) -> Claim:
    """With what makes another claim worth while: that one ends, if it is full; else time: a task falls due, or the window of the rate
    moves on."""
    row = await transaction.fetch_one(
        "SELECT min(due_at) AS at FROM tasks WHERE provider = :provider AND status = 'queued'", {"provider": provider})
    if row is None or row["at"] is None:
        return taken
    if limits.max_concurrent is not None and await _running(transaction, provider) >= limits.max_concurrent:
        return msgspec.structs.replace(taken, is_full=True)
    at = moment(row["at"])
    allowed_at = await _rate_allows(transaction, provider, limits.rate, now) if limits.rate else None
    return msgspec.structs.replace(taken, next_at=max(at, allowed_at or at))


async def _rate_allows(transaction: Transaction, provider: str, rate: Rate, now: datetime) -> datetime | None:
    """When the next one may be sent; None: now."""
    row = await transaction.fetch_one(
        """SELECT submitted_at FROM tasks WHERE provider = :provider AND sends > 0 AND submitted_at > :since
        ORDER BY submitted_at DESC LIMIT 1 OFFSET :skipped""",
        {"provider": provider, "since": _window_start(rate, now), "skipped": rate.count - 1})
    return None if row is None else moment(row["submitted_at"]) + timedelta(seconds=rate.seconds)


def _not_at_once(at: datetime | None, now: datetime) -> datetime | None:
    return None if at is None else max(at, now + _IN_DOUBT_PAUSE)


async def _wait_for(transaction: Transaction, claim: Claim) -> None:
    """It may be that the server is still about to commit it (see writer): until that is over, which is when its rows can be locked."""
    await transaction.run(
        "SELECT FROM tasks WHERE id = ANY(CAST(:ids AS text[])) ORDER BY seq FOR NO KEY UPDATE", {"ids": _ids(claim.tasks)})


def _ids(tasks: Sequence[Task]) -> list[str]:
    return [task.id for task in tasks]
