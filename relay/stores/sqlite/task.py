"""Tasks: recorded, looked up, erased."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from relay.errors import RequestError
from relay.model import Subscription, Task, TaskStatus
from relay.ports.call import Call
from relay.ports.page import Page
from relay.ports.store import CallbackFilter, Idempotency, TaskFilter, Timeline
from relay.stores.adding import Known, New, outcome
from relay.stores.page import END_OF_TIME, page
from relay.stores.row import (
    json_text,
    micros,
    micros_or_none,
    read_attempt,
    read_callback,
    read_delivery,
    read_event,
    read_note,
    read_task,
    task_row,
)
from relay.stores.sqlite.call import insert_calls
from relay.stores.sqlite.connection import Parameters, Readers, Row
from relay.stores.sqlite.routing import Router
from relay.stores.sqlite.subscription import insert_subscriptions
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer


class Tasks:
    """The tasks' part of the store, but for what moves them."""

    def __init__(self, readers: Readers, writer: Writer, router: Router) -> None:
        self._readers = readers
        self._writer = writer
        self._router = router

    async def add_task(self, task: Task, *, due_at: datetime | None, callback: Subscription | None = None,
                       idempotency: Idempotency | None = None, call: Call | None = None) -> tuple[Task, bool]:
        return await self._writer.write(_add_all, New(task, due_at, callback, idempotency, call))

    async def task(self, account_id: str, task_id: str) -> Task | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM tasks WHERE id = :id AND account_id = :account_id", {"id": task_id, "account_id": account_id})
        return None if row is None else read_task(row)

    async def task_for_callback(self, task_id: str) -> Task | None:
        row = await self._readers.fetch_one("SELECT * FROM tasks WHERE id = :id", {"id": task_id})
        return None if row is None else read_task(row)

    async def tasks(self, account_id: str, which: TaskFilter, *, limit: int, cursor: str | None = None) -> Page:
        last = await self._place(account_id, cursor)
        rows = await self._readers.fetch(
            """SELECT * FROM tasks WHERE account_id = :account_id AND (created_at, seq) < (:last_at, :last_seq)
            AND created_at > :created_after AND created_at < :created_before
            AND (:status IS NULL OR status = :status) AND (:provider IS NULL OR provider = :provider)
            AND (:model IS NULL OR model = :model)
            AND NOT EXISTS (SELECT 1 FROM json_each(:metadata) AS wanted WHERE NOT EXISTS (
                SELECT 1 FROM json_each(tasks.metadata) AS given WHERE given.key = wanted.key AND wanted.value =
                CASE given.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN 'null'
                ELSE CAST(given.value AS TEXT) END))
            ORDER BY created_at DESC, seq DESC LIMIT :limit""",
            {"account_id": account_id, "last_at": last[0], "last_seq": last[1], "limit": limit + 1,
             "created_after": micros(which.created_after) if which.created_after else -1,
             "created_before": micros(which.created_before) if which.created_before else END_OF_TIME,
             "status": which.status, "provider": which.provider, "model": which.model, "metadata": json_text(which.metadata)})
        return page(rows, limit, read_task)

    async def _place(self, account_id: str, cursor: str | None) -> tuple[int, int]:
        """Where the page before ended."""
        row = cursor and await self._readers.fetch_one(
            "SELECT created_at, seq FROM tasks WHERE id = :cursor AND account_id = :account_id",
            {"cursor": cursor, "account_id": account_id})
        return (row["created_at"], row["seq"]) if row else (END_OF_TIME, 0)

    async def timeline(self, account_id: str, task_id: str) -> Timeline | None:
        """Children are read before their parents, so that none stands there without."""
        if await self.task(account_id, task_id) is None:
            return None
        of_task = {"id": task_id}
        attempts = await self._readers.fetch(
            """SELECT attempts.* FROM attempts JOIN deliveries ON deliveries.id = attempts.delivery_id
            WHERE deliveries.task_id = :id ORDER BY attempts.seq""", of_task)
        deliveries = await self._readers.fetch("SELECT * FROM deliveries_shown WHERE task_id = :id ORDER BY seq", of_task)
        events = await self._readers.fetch("SELECT * FROM events WHERE task_id = :id ORDER BY seq", of_task)
        callbacks = await self._readers.fetch("SELECT * FROM callbacks WHERE task_id = :id ORDER BY seq", of_task)
        notes = await self._readers.fetch("SELECT * FROM notes WHERE task_id = :id ORDER BY seq", of_task)
        task = await self.task(account_id, task_id)
        return None if task is None else Timeline(
            task=task, notes=[read_note(row) for row in notes], callbacks=[read_callback(row) for row in callbacks],
            events=[read_event(row) for row in events], deliveries=[read_delivery(row) for row in deliveries],
            attempts=[read_attempt(row) for row in attempts])

    async def erase_task(self, account_id: str, task_id: str, *, now: datetime) -> Task | None:
        def erase(transaction: Transaction) -> Task | None:
            row = transaction.fetch_one(
                "SELECT * FROM tasks WHERE id = :id AND account_id = :account_id", {"id": task_id, "account_id": account_id})
            if row is None:
                return None
            task = read_task(row)
            _erase(transaction, task, now)
            self._router.forget(account_id)  # a delivery of it may stand in line to be sent
            transaction.ring(f"task:{task_id}")
            return task

        return await self._writer.write_long(erase)

    async def callbacks(self, account_id: str, which: CallbackFilter, *, limit: int, cursor: str | None = None) -> Page:
        rows = await (self._callbacks_of_task if which.task_id else self._callbacks_of_account)({
            "account_id": account_id, "task_id": which.task_id, "verdict": which.verdict, "cursor": cursor, "limit": limit + 1})
        return page(rows, limit, read_callback)

    async def _callbacks_of_task(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM callbacks WHERE task_id = :task_id AND account_id = :account_id
            AND seq < coalesce((SELECT seq FROM callbacks WHERE id = :cursor), 9223372036854775807)
            AND (:verdict IS NULL OR verdict = :verdict) ORDER BY seq DESC LIMIT :limit""", parameters)

    async def _callbacks_of_account(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM callbacks WHERE account_id = :account_id
            AND seq < coalesce((SELECT seq FROM callbacks WHERE id = :cursor), 9223372036854775807)
            AND (:verdict IS NULL OR verdict = :verdict) ORDER BY seq DESC LIMIT :limit""", parameters)


def _add_all(transaction: Transaction, given: Sequence[New]) -> list[tuple[Task, bool] | RequestError]:
    known = _known_keys(transaction, given)
    added: list[New] = []
    outcomes = [outcome(new, known, added) for new in given]
    _insert_tasks(transaction, added)
    insert_subscriptions(transaction, [(new.callback, None) for new in added if new.callback])
    _insert_keys(transaction, added)
    insert_calls(transaction, [(new.call, new.task.created_at) for new in added if new.call])
    if any(new.task.status is TaskStatus.QUEUED for new in added):
        transaction.ring("submissions")
    if any(new.task.status is not TaskStatus.QUEUED for new in added):
        transaction.ring("polls")
    return outcomes


def _known_keys(transaction: Transaction, given: Sequence[New]) -> Known:
    keys = [(new.task.account_id, new.idempotency.key) for new in given if new.idempotency]
    if not keys:
        return {}
    rows = transaction.fetch(
        """SELECT tasks.*, idempotency.key AS idempotency_key, idempotency.fingerprint FROM json_each(:keys) AS given
        JOIN idempotency ON idempotency.account_id = given.value ->> 0 AND idempotency.key = given.value ->> 1
        JOIN tasks ON tasks.id = idempotency.task_id""", {"keys": json_text(keys)})
    return {(row["account_id"], row["idempotency_key"]): (row["fingerprint"], read_task(row)) for row in rows}


def _insert_tasks(transaction: Transaction, added: Sequence[New]) -> None:
    transaction.run_rows(
        """INSERT INTO tasks (id, account_id, provider, model, prompt, input, status, progress, images, error, provider_task_id,
        via, cost, metadata, created_at, submitted_at, completed_at, accepted, watched, sends, polls, deadline_at, dropin,
        due_at)
        VALUES :rows""", [{**task_row(new.task), "due_at": micros_or_none(new.looked_at)} for new in added])


def _insert_keys(transaction: Transaction, added: Sequence[New]) -> None:
    transaction.run_rows(
        "INSERT INTO idempotency (account_id, key, fingerprint, task_id) VALUES :rows",
        [{"account_id": new.task.account_id, "key": new.idempotency.key, "fingerprint": new.idempotency.fingerprint,
          "task_id": new.task.id} for new in added if new.idempotency])


def _erase(transaction: Transaction, task: Task, now: datetime) -> None:
    error = msgspec.structs.replace(task.error, message="") if task.error else None
    parameters: dict[str, Any] = {"id": task.id, "now": micros(now), "error": json_text(error) if error else None}
    transaction.run(
        """UPDATE tasks SET prompt = NULL, input = '{}', metadata = '{}', images = '[]', error = :error, erased_at = :now
        WHERE id = :id""", parameters)
    transaction.run("UPDATE callbacks SET body = '' WHERE task_id = :id", parameters)
    transaction.run("UPDATE calls SET native = '{}', fingerprint = '' WHERE task_id = :id", parameters)
    transaction.run(
        """UPDATE attempts SET response_body = NULL WHERE delivery_id IN (SELECT id FROM deliveries WHERE task_id = :id)""", parameters)
    transaction.run("UPDATE events SET body = x'', metadata = '{}' WHERE task_id = :id", parameters)
    transaction.run(
        """UPDATE deliveries SET status = 'cancelled', next_attempt_at = NULL, completed_at = :now
        WHERE task_id = :id AND status IN ('pending', 'held')""", parameters)
