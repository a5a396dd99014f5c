"""Calls: the requests of apps by which tasks were made, and whether somebody still waits for their answers."""

from collections.abc import Sequence
from datetime import datetime

from relay.model import Task
from relay.ports.call import Call, Called, Repeat
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.lock import lock
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Single, Writer
from relay.stores.row import json_text, micros, read_call, read_task


class Calls:
    """The calls' part of the store. Callers wait at this process, `holder`."""

    def __init__(self, readers: Readers, writer: Writer, holder: str) -> None:
        self._readers = readers
        self._writer = writer
        self._holder = holder

    async def called(self, task_id: str) -> Called | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM calls JOIN tasks ON tasks.id = calls.task_id WHERE task_id = :id", {"id": task_id})
        return None if row is None else Called(task=read_task(row), call=read_call(row))

    async def rejoin(self, repeat: Repeat, *, now: datetime) -> Task | None:
        async def take_place(transaction: Transaction) -> Task | None:
            row = await transaction.fetch_one(
                """UPDATE calls SET holder = :holder, taken = false, rejoins = rejoins + 1, seen_at = :now WHERE task_id = (
                    SELECT task_id FROM calls WHERE fingerprint = :fingerprint AND holder IS NULL AND CASE WHEN taken
                        THEN seen_at BETWEEN :taken_since AND :came_at AND rejoins < :count ELSE seen_at >= :left_since END
                    ORDER BY taken, CASE WHEN taken THEN -seen_at ELSE seen_at END LIMIT 1 FOR UPDATE SKIP LOCKED)
                AND EXISTS (SELECT FROM processes WHERE id = :holder FOR KEY SHARE)
                RETURNING task_id""",
                {"fingerprint": repeat.fingerprint, "left_since": micros(repeat.left_since), "count": repeat.count,
                 "taken_since": micros(repeat.taken_since), "came_at": micros(repeat.came_at), "now": micros(now), "holder": self._holder})
            return None if row is None else await _task(transaction, row["task_id"])

        return await self._writer.write_alone(
            take_place, undo=lambda task: _given_back([task.id] if task else [], self._holder, now))

    async def is_attended(self, fingerprint: str) -> bool:
        rows = await self._readers.fetch(
            "SELECT 1 FROM calls WHERE fingerprint = :fingerprint AND holder IS NOT NULL LIMIT 1", {"fingerprint": fingerprint})
        return bool(rows)

    async def leave(self, task_id: str, *, taken: bool, now: datetime) -> None:
        await self._writer.write_alone(_leaving([task_id], self._holder, taken=taken, now=now))


async def insert_calls(transaction: Transaction, calls: Sequence[tuple[Call, datetime]], holder: str) -> None:
    """Each with the moment at which it came to this process. If the commit is in doubt, the callers are told that nothing was taken, and
    come again: their places must be free then."""
    if calls:
        ids = [call.task_id for call, _ in calls]
        transaction.in_doubt(_given_back(ids, holder, max(at for _, at in calls)))
        await lock(transaction, *map(_name, ids))
    await transaction.run_rows(
        """INSERT INTO calls (task_id, fingerprint, native, seen_at, holder)
        SELECT * FROM unnest(CAST(:task_id AS text[]), CAST(:fingerprint AS text[]), CAST(:native AS text[]),
            CAST(:seen_at AS bigint[]), CAST(:holder AS text[]))""",
        [{"task_id": call.task_id, "fingerprint": call.fingerprint, "native": json_text(call.native),
          "seen_at": micros(at), "holder": holder} for call, at in calls])


def _leaving(task_ids: Sequence[str], holder: str, *, taken: bool, now: datetime) -> Single[None]:
    async def leave(transaction: Transaction) -> None:
        rows = await transaction.fetch(
            """UPDATE calls SET holder = NULL, taken = :taken, seen_at = :now WHERE task_id = ANY(CAST(:ids AS text[])) AND holder = :holder
            RETURNING fingerprint""", {"ids": list(task_ids), "taken": taken, "now": micros(now), "holder": holder})
        transaction.ring(*(f"call:{row['fingerprint']}" for row in rows))

    return leave


def _given_back(task_ids: Sequence[str], holder: str, now: datetime) -> Single[None]:
    """The server may still be about to commit that somebody attends (see writer): until then it has the locks of what it makes anew,
    and the rows of what it changes."""
    async def give_back(transaction: Transaction) -> None:
        await lock(transaction, *map(_name, task_ids))
        await transaction.run(
            "SELECT FROM calls WHERE task_id = ANY(CAST(:ids AS text[])) ORDER BY task_id FOR NO KEY UPDATE", {"ids": list(task_ids)})
        await _leaving(task_ids, holder, taken=False, now=now)(transaction)

    return give_back


def _name(task_id: str) -> str:
    return f"call {task_id}"


async def _task(transaction: Transaction, task_id: str) -> Task | None:
    row = await transaction.fetch_one("SELECT * FROM tasks WHERE id = :id", {"id": task_id})
    return None if row is None else read_task(row)
