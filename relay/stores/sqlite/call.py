"""Calls: the requests of apps by which tasks were made, and whether somebody still waits for their answers."""

from collections.abc import Callable, Sequence
from datetime import datetime

from relay.model import Task
from relay.ports.call import Call, Called, Repeat
from relay.stores.row import json_text, micros, read_call, read_task
from relay.stores.sqlite.connection import Readers
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer


class Calls:
    """The calls' part of the store."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def called(self, task_id: str) -> Called | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM calls JOIN tasks ON tasks.id = calls.task_id WHERE task_id = :id", {"id": task_id})
        return None if row is None else Called(task=read_task(row), call=read_call(row))

    async def rejoin(self, repeat: Repeat, *, now: datetime) -> Task | None:
        def take_place(transaction: Transaction) -> Task | None:
            row = transaction.fetch_one(
                """UPDATE calls SET leased = 1, taken = 0, rejoins = rejoins + 1, seen_at = :now WHERE task_id = (
                    SELECT task_id FROM calls WHERE fingerprint = :fingerprint AND leased = 0 AND CASE taken
                        WHEN 0 THEN seen_at >= :left_since ELSE seen_at BETWEEN :taken_since AND :came_at AND rejoins < :count END
                    ORDER BY taken, CASE taken WHEN 0 THEN seen_at ELSE -seen_at END LIMIT 1)
                RETURNING task_id""",
                {"fingerprint": repeat.fingerprint, "left_since": micros(repeat.left_since), "count": repeat.count,
                 "taken_since": micros(repeat.taken_since), "came_at": micros(repeat.came_at), "now": micros(now)})
            return None if row is None else _task(transaction, row["task_id"])

        return await self._writer.write_alone(take_place, undo=lambda task: _give_place_back(task, now))

    async def is_attended(self, fingerprint: str) -> bool:
        rows = await self._readers.fetch(
            "SELECT 1 FROM calls WHERE fingerprint = :fingerprint AND +leased = 1 LIMIT 1", {"fingerprint": fingerprint})
        return bool(rows)

    async def leave(self, task_id: str, *, taken: bool, now: datetime) -> None:
        await self._writer.write_alone(lambda transaction: _leave(transaction, task_id, taken=taken, now=now))


def insert_calls(transaction: Transaction, calls: Sequence[tuple[Call, datetime]]) -> None:
    """Each with the moment at which it came."""
    transaction.run_rows(
        "INSERT INTO calls (task_id, fingerprint, native, seen_at) VALUES :rows",
        [{"task_id": call.task_id, "fingerprint": call.fingerprint, "native": json_text(call.native),
          "seen_at": micros(at)} for call, at in calls])


def _give_place_back(task: Task | None, now: datetime) -> Callable[[Transaction], None]:
    """Of a caller that is gone before it heard of it."""
    return lambda transaction: None if task is None else _leave(transaction, task.id, taken=False, now=now)


def _leave(transaction: Transaction, task_id: str, *, taken: bool, now: datetime) -> None:
    row = transaction.fetch_one(
        "UPDATE calls SET leased = 0, taken = :taken, seen_at = :now WHERE task_id = :id AND leased = 1 RETURNING fingerprint",
        {"id": task_id, "taken": taken, "now": micros(now)})
    if row is not None:
        transaction.ring(f"call:{row['fingerprint']}")


def _task(transaction: Transaction, task_id: str) -> Task | None:
    row = transaction.fetch_one("SELECT * FROM tasks WHERE id = :id", {"id": task_id})
    return None if row is None else read_task(row)
