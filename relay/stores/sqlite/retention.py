"""What is finished long enough, found and removed.

Found by the readers, in the order of the index by which tasks are listed; removed by the writer a few rows at a time, what hangs on
others first, so that every step leaves whole things behind and live writes wait for none of them long. What a step removes it
looks for anew inside its transaction: what was asked for again meanwhile stays.

The file does not shrink: SQLite gives the pages that became free to what is written next (`auto_vacuum` would move pages at every
commit, or in strokes that stop all writing). A copy made by VACUUM INTO is as small as can be.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from relay.model import Task, TaskStatus
from relay.ports.retention import Count
from relay.stores.row import json_text, micros, read_task
from relay.stores.sqlite.connection import Parameters, Readers
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer

_DAY: Final = 86_400_000_000  # microseconds
_FIRST_DAY: Final = date(1970, 1, 1)

_Step = Callable[[Transaction, Parameters], int]


class Retention:
    """The store's part that forgets."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def expired_tasks(self, *, retention: timedelta, now: datetime, limit: int) -> list[Task]:
        rows = await self._readers.fetch(
            """SELECT tasks.* FROM accounts CROSS JOIN tasks ON tasks.account_id = accounts.id
            WHERE tasks.created_at < :now - coalesce(accounts.retention, :retention) * 1000000
            AND tasks.completed_at < :now - coalesce(accounts.retention, :retention) * 1000000
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE task_id = tasks.id AND deliveries.status IN ('pending', 'held'))
            AND NOT EXISTS (SELECT 1 FROM subscriptions JOIN deliveries ON deliveries.subscription_id = subscriptions.id
                WHERE subscriptions.task_id = tasks.id AND deliveries.task_id IS NOT tasks.id)
            LIMIT :limit""", {"now": micros(now), "retention": retention.total_seconds(), "limit": limit})
        return [read_task(row) for row in rows]

    async def prune_tasks(self, task_ids: Sequence[str], *, limit: int) -> int:
        def prune(transaction: Transaction) -> int:
            rows = transaction.fetch(
                """SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(:ids)) AND completed_at IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM deliveries WHERE task_id = tasks.id AND deliveries.status IN ('pending', 'held'))""",
                {"ids": json_text(list(task_ids))})
            return _run(transaction, _OF_TASKS, {"ids": json_text([row["id"] for row in rows])}, limit)

        return await self._writer.write_long(prune)

    async def prune_rest(self, *, retention: timedelta, now: datetime, limit: int) -> int:
        parameters = {"now": micros(now), "retention": retention.total_seconds()}
        events = await self._readers.fetch(
            """SELECT events.id FROM accounts CROSS JOIN events ON events.account_id = accounts.id WHERE events.task_id IS NULL
            AND events.created_at < :now - coalesce(accounts.retention, :retention) * 1000000
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event_id = events.id AND deliveries.status IN ('pending', 'held'))
            LIMIT :limit""", {**parameters, "limit": limit})

        def prune(transaction: Transaction) -> int:
            rows = transaction.fetch(
                """SELECT id FROM events WHERE id IN (SELECT value FROM json_each(:ids)) AND NOT EXISTS (
                    SELECT 1 FROM deliveries WHERE event_id = events.id AND deliveries.status IN ('pending', 'held'))""",
                {"ids": json_text([row["id"] for row in events])})
            return _run(transaction, _OF_NO_TASK, {**parameters, "ids": json_text([row["id"] for row in rows])}, limit)

        return await self._writer.write_long(prune)

    async def counts(self, account_id: str) -> list[Count]:
        rows = await self._readers.fetch(
            """SELECT day, provider, status, sum(count) AS count FROM (
                SELECT day, provider, status, count FROM counts WHERE account_id = :account_id
                UNION ALL SELECT created_at / 86400000000, provider, status, 1 FROM tasks WHERE account_id = :account_id)
            GROUP BY day, provider, status ORDER BY day DESC, provider, status""", {"account_id": account_id})
        return [Count(day=_FIRST_DAY + timedelta(days=row["day"]), provider=row["provider"], status=TaskStatus(row["status"]),
                      count=row["count"]) for row in rows]


def _run(transaction: Transaction, steps: Sequence[_Step], parameters: Parameters, limit: int) -> int:
    """The steps in their order, none before the one ahead of it is finished. Gives how many rows went."""
    gone = 0
    for step in steps:
        gone += step(transaction, {**parameters, "limit": limit - gone})
        if gone >= limit:
            break
    return gone


def _deleting(sql: str) -> _Step:
    def delete(transaction: Transaction, parameters: Parameters) -> int:
        return len(transaction.fetch(sql, parameters))

    return delete


def _delete_tasks(transaction: Transaction, parameters: Parameters) -> int:
    """What something still hangs on stays: a subscription of a task, to which another task's event was delivered by hand."""
    rows = transaction.fetch(
        """DELETE FROM tasks WHERE seq IN (
            SELECT tasks.seq FROM json_each(:ids) AS given CROSS JOIN tasks ON tasks.id = given.value
            WHERE NOT EXISTS (SELECT 1 FROM subscriptions WHERE subscriptions.task_id = tasks.id) LIMIT :limit)
        RETURNING account_id, created_at, provider, status""", parameters)
    transaction.run_each(
        """INSERT INTO counts (account_id, day, provider, status, count) VALUES (:account_id, :day, :provider, :status, 1)
        ON CONFLICT (account_id, day, provider, status) DO UPDATE SET count = count + 1""",
        [{**row, "day": row["created_at"] // _DAY} for row in rows])
    return len(rows)


_OF_TASKS: Final = (
    _deleting(
        """DELETE FROM attempts WHERE seq IN (
            SELECT attempts.seq FROM json_each(:ids) AS given CROSS JOIN deliveries ON deliveries.task_id = given.value
            CROSS JOIN attempts ON attempts.delivery_id = deliveries.id LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM deliveries WHERE seq IN (
            SELECT deliveries.seq FROM json_each(:ids) AS given CROSS JOIN deliveries ON deliveries.task_id = given.value
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM events WHERE seq IN (
            SELECT events.seq FROM json_each(:ids) AS given CROSS JOIN events ON events.task_id = given.value
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM callbacks WHERE seq IN (
            SELECT callbacks.seq FROM json_each(:ids) AS given CROSS JOIN callbacks ON callbacks.task_id = given.value
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM notes WHERE seq IN (
            SELECT notes.seq FROM json_each(:ids) AS given CROSS JOIN notes ON notes.task_id = given.value
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM replays WHERE seq IN (
            SELECT replays.seq FROM json_each(:ids) AS given CROSS JOIN subscriptions ON subscriptions.task_id = given.value
            CROSS JOIN replays ON replays.subscription_id = subscriptions.id AND replays.status <> 'running'
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM lanes WHERE subscription_id IN (
            SELECT subscriptions.id FROM json_each(:ids) AS given CROSS JOIN subscriptions ON subscriptions.task_id = given.value
            WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.subscription_id = subscriptions.id)
            LIMIT :limit) RETURNING subscription_id"""),
    _deleting(
        """DELETE FROM subscriptions WHERE seq IN (
            SELECT subscriptions.seq FROM json_each(:ids) AS given CROSS JOIN subscriptions ON subscriptions.task_id = given.value
            WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.subscription_id = subscriptions.id)
            AND NOT EXISTS (SELECT 1 FROM replays WHERE replays.subscription_id = subscriptions.id)
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        "DELETE FROM idempotency WHERE task_id IN (SELECT value FROM json_each(:ids)) RETURNING key"),
    _deleting(
        "DELETE FROM calls WHERE task_id IN (SELECT value FROM json_each(:ids)) RETURNING task_id"),
    _delete_tasks,
)
"""In the order in which they hang on each other."""

_OF_NO_TASK: Final = (
    _deleting(
        """DELETE FROM attempts WHERE seq IN (
            SELECT attempts.seq FROM json_each(:ids) AS given CROSS JOIN deliveries ON deliveries.event_id = given.value
            CROSS JOIN attempts ON attempts.delivery_id = deliveries.id LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM deliveries WHERE seq IN (
            SELECT deliveries.seq FROM json_each(:ids) AS given CROSS JOIN deliveries ON deliveries.event_id = given.value
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM events WHERE seq IN (
            SELECT events.seq FROM json_each(:ids) AS given CROSS JOIN events ON events.id = given.value LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM replays WHERE seq IN (
            SELECT replays.seq FROM accounts CROSS JOIN replays ON replays.account_id = accounts.id
            WHERE replays.completed_at < :now - coalesce(accounts.retention, :retention) * 1000000 LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM lanes WHERE subscription_id IN (
            SELECT subscriptions.id FROM accounts CROSS JOIN subscriptions ON subscriptions.account_id = accounts.id
            WHERE subscriptions.deleted_at < :now - coalesce(accounts.retention, :retention) * 1000000
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.subscription_id = subscriptions.id)
            LIMIT :limit) RETURNING subscription_id"""),
    _deleting(
        """DELETE FROM subscriptions WHERE seq IN (
            SELECT subscriptions.seq FROM accounts CROSS JOIN subscriptions ON subscriptions.account_id = accounts.id
            WHERE subscriptions.deleted_at < :now - coalesce(accounts.retention, :retention) * 1000000
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.subscription_id = subscriptions.id)
            AND NOT EXISTS (SELECT 1 FROM replays WHERE replays.subscription_id = subscriptions.id)
            LIMIT :limit) RETURNING seq"""),
    _deleting("DELETE FROM alarms WHERE told_at < :now - 86400000000 RETURNING subject"),
)
