"""Tasks taken up and given back: to be sent, to be looked at."""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from relay.model import Note, Task
from relay.ports.provider import Limits, Rate
from relay.ports.store import Claim
from relay.stores.row import json_text, micros, moment, moment_or_none, read_task
from relay.stores.sqlite.change import insert_notes
from relay.stores.sqlite.connection import Readers
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Single, Writer

_LARGEST_CLAIM: Final = 100  # where no limit is known; who claims comes again at once if there is more


class Claims:
    """The store's lease of tasks."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def claim_submissions(self, provider: str, *, limits: Limits, deadline: timedelta, now: datetime) -> Claim:
        def claim(transaction: Transaction) -> Claim:
            if _first_due(transaction, provider) is None:  # as nearly always for most of the providers
                return Claim(tasks=[])
            room = _room(transaction, provider, limits, now)
            taken = _take_queued(transaction, provider, room, deadline, now) if room > 0 else Claim(tasks=[])
            return _with_prospect(transaction, taken, provider, limits, now)

        return await self._writer.write_alone(claim, undo=_unclaim_submissions)

    async def defer_submission(self, task_id: str, *, until: datetime, note: Note | None, sends: int | None = None) -> None:
        def defer(transaction: Transaction) -> None:
            # One that was accepted meanwhile (its callback came first) has reached the provider after all: never sent again.
            rows = transaction.fetch(
                """UPDATE tasks SET leased = 0, status = CASE accepted WHEN 0 THEN 'queued' ELSE status END,
                due_at = CASE accepted WHEN 0 THEN :until ELSE due_at END,
                submitted_at = CASE accepted WHEN 0 THEN NULL ELSE submitted_at END,
                deadline_at = CASE accepted WHEN 0 THEN NULL ELSE deadline_at END
                WHERE id = :id AND status IN ('submitted', 'processing') AND sends = coalesce(:sends, sends) RETURNING provider""",
                {"id": task_id, "until": micros(until), "sends": sends})
            insert_notes(transaction, [note] if note else [])
            transaction.ring("submissions", "polls", f"task:{task_id}", *(f"room:{row['provider']}" for row in rows))

        await self._writer.write_alone(defer)

    async def doubtful(self, provider: str) -> list[Task]:
        rows = await self._readers.fetch(
            """SELECT * FROM tasks WHERE provider = :provider AND status = 'submitted' AND accepted = 0 AND leased = 0
            AND due_at IS NULL ORDER BY seq""", {"provider": provider})
        return [read_task(row) for row in rows]

    async def claim_polls(self, provider: str, *, limit: int, now: datetime) -> Claim:
        def claim(transaction: Transaction) -> Claim:
            rows = transaction.fetch(
                """UPDATE tasks SET leased = 1 WHERE seq IN (
                    SELECT seq FROM tasks WHERE provider = :provider AND status IN ('submitted', 'processing') AND leased = 0
                    AND due_at <= :now ORDER BY due_at, seq LIMIT :limit)
                RETURNING *""", {"provider": provider, "now": micros(now), "limit": limit})
            following = transaction.fetch_one(
                """SELECT min(due_at) AS at FROM tasks WHERE provider = :provider AND status IN ('submitted', 'processing')
                AND leased = 0 AND due_at IS NOT NULL""", {"provider": provider})
            rows.sort(key=lambda row: (row["due_at"], row["seq"]))
            return Claim(
                tasks=[read_task(row) for row in rows], next_at=moment_or_none(following["at"]) if following else None,
                due_since=moment_or_none(rows[0]["due_at"]) if rows else None)

        return await self._writer.write_alone(claim, undo=_unclaim_polls)

    async def schedule(self, task_id: str, *, at: datetime, polled: bool, note: Note | None = None) -> None:
        def schedule(transaction: Transaction) -> None:
            rows = transaction.fetch(
                """UPDATE tasks SET due_at = min(:at, coalesce(deadline_at, :at),
                    CASE WHEN :polled OR provider_task_id IS NULL THEN :at ELSE coalesce(due_at, :at) END),
                leased = 0, polls = polls + :polled
                WHERE id = :id AND status IN ('submitted', 'processing') RETURNING id""",
                {"id": task_id, "at": micros(at), "polled": polled})
            if rows:
                insert_notes(transaction, [note] if note else [])
                transaction.ring("polls")

        await self._writer.write_alone(schedule)


def _room(transaction: Transaction, provider: str, limits: Limits, now: datetime) -> int:
    """How many more may be sent now."""
    rooms = [_LARGEST_CLAIM]
    if limits.max_concurrent is not None:
        rooms.append(limits.max_concurrent - _running(transaction, provider))
    if limits.rate is not None:
        row = transaction.fetch_one(
            "SELECT count(*) AS sent FROM tasks WHERE provider = :provider AND sends > 0 AND submitted_at > :since",
            {"provider": provider, "since": _window_start(limits.rate, now)})
        rooms.append(limits.rate.count - (row["sent"] if row else 0))
    return min(rooms)


def _running(transaction: Transaction, provider: str) -> int:
    row = transaction.fetch_one(
        "SELECT count(*) AS running FROM tasks WHERE provider = :provider AND status IN ('submitted', 'processing') AND watched = 0",
        {"provider": provider})
    return row["running"] if row else 0


def _window_start(rate: Rate, now: datetime) -> int:
    return micros(now - timedelta(seconds=rate.seconds))


def _take_queued(transaction: Transaction, provider: str, room: int, deadline: timedelta, now: datetime) -> Claim:
    """The plus keeps SQLite from choosing the index by due_at, for which it would have to sort all that is due."""
    due = transaction.fetch(
        """SELECT seq, due_at FROM tasks WHERE provider = :provider AND status = 'queued' AND +due_at <= :now
        ORDER BY created_at, seq LIMIT :room""", {"provider": provider, "now": micros(now), "room": room})
    if not due:
        return Claim(tasks=[])
    rows = transaction.fetch(
        """UPDATE tasks SET status = 'submitted', submitted_at = :now, sends = sends + 1, deadline_at = :deadline_at, leased = 1,
        due_at = NULL WHERE seq IN (SELECT value FROM json_each(:seqs)) RETURNING *""",
        {"now": micros(now), "deadline_at": micros(now + deadline), "seqs": json_text([row["seq"] for row in due])})
    rows.sort(key=lambda row: (row["created_at"], row["seq"]))
    transaction.ring(*(f"task:{row['id']}" for row in rows))
    return Claim(tasks=[read_task(row) for row in rows], due_since=moment(min(row["due_at"] for row in due)))


def _with_prospect(transaction: Transaction, taken: Claim, provider: str, limits: Limits, now: datetime) -> Claim:
    """With what makes another claim worth while: that one ends, if it is full; else time: a task falls due, or the window of the rate
    moves on."""
    at = _first_due(transaction, provider)
    if at is None:
        return taken
    if limits.max_concurrent is not None and _running(transaction, provider) >= limits.max_concurrent:
        return msgspec.structs.replace(taken, is_full=True)
    allowed_at = _rate_allows(transaction, provider, limits.rate, now) if limits.rate else None
    return msgspec.structs.replace(taken, next_at=max(at, allowed_at or at))


def _first_due(transaction: Transaction, provider: str) -> datetime | None:
    """When the first of the queued tasks falls due; None if there is none."""
    row = transaction.fetch_one(
        "SELECT min(due_at) AS at FROM tasks WHERE provider = :provider AND status = 'queued'", {"provider": provider})
    return moment_or_none(row["at"]) if row else None


def _rate_allows(transaction: Transaction, provider: str, rate: Rate, now: datetime) -> datetime | None:
    """When the next one may be sent; None: now."""
    row = transaction.fetch_one(
        """SELECT submitted_at FROM tasks WHERE provider = :provider AND sends > 0 AND submitted_at > :since
        ORDER BY submitted_at DESC LIMIT 1 OFFSET :count - 1""",
        {"provider": provider, "since": _window_start(rate, now), "count": rate.count})
    return None if row is None else moment(row["submitted_at"]) + timedelta(seconds=rate.seconds)


def _unclaim_submissions(claim: Claim) -> Single[None]:
    """Nobody has seen the claim, so nothing was sent."""
    def unclaim(transaction: Transaction) -> None:
        transaction.run(
            """UPDATE tasks SET status = 'queued', due_at = submitted_at, submitted_at = NULL, sends = sends - 1,
            deadline_at = NULL, leased = 0
            WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'submitted' AND accepted = 0 AND leased = 1""",
            {"ids": json_text([task.id for task in claim.tasks])})
        transaction.ring("submissions", *(f"room:{task.provider}" for task in claim.tasks))

    return unclaim


def _unclaim_polls(claim: Claim) -> Single[None]:
    def unclaim(transaction: Transaction) -> None:
        transaction.run(
            "UPDATE tasks SET leased = 0 WHERE id IN (SELECT value FROM json_each(:ids))",
            {"ids": json_text([task.id for task in claim.tasks])})
        transaction.ring("polls")

    return unclaim
