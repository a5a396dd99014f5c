"""What is finished long enough, found and removed.

Found account by account, in the order of the index by which each is listed, so that nothing is looked through that stays; removed a few
rows at a time, what hangs on others first, so that every step leaves whole things behind and live writes wait for none of them long. What
a step removes it looks for anew inside its transaction, which has the lock that whoever asks for something again has to have: what was
asked for again meanwhile stays.

The files do not shrink by it: the server gives the space that became free to what is written next.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from relay.model import Task, TaskStatus
from relay.ports.retention import Count
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.lock import lock_accounts
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.stores.row import Row, micros, read_task

_FIRST_DAY: Final = date(1970, 1, 1)

_Step = Callable[[Transaction, dict[str, Any]], Awaitable[int]]


class Retention:
    """The store's part that forgets."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def expired_tasks(self, *, retention: timedelta, now: datetime, limit: int) -> list[Task]:
        rows = await self._readers.fetch(
            """SELECT expired.* FROM (
                SELECT id, CAST(:now - coalesce(retention, :retention) * 1000000 AS bigint) AS until FROM accounts) AS account
            CROSS JOIN LATERAL (SELECT * FROM tasks WHERE account_id = account.id AND created_at < account.until
                AND completed_at < account.until
                AND NOT EXISTS (SELECT FROM deliveries WHERE task_id = tasks.id AND deliveries.status IN ('pending', 'held'))
                AND NOT EXISTS (SELECT FROM subscriptions JOIN deliveries ON deliveries.subscription_id = subscriptions.id
                    WHERE subscriptions.task_id = tasks.id AND deliveries.task_id IS DISTINCT FROM tasks.id)
                ORDER BY created_at LIMIT :limit) AS expired
            LIMIT :limit""", {"now": micros(now), "retention": retention.total_seconds(), "limit": limit})
        return [read_task(row) for row in rows]

    async def prune_tasks(self, task_ids: Sequence[str], *, limit: int) -> int:
        async def prune(transaction: Transaction) -> int:
            await _lock_owners(transaction, await transaction.fetch(
                "SELECT DISTINCT account_id FROM tasks WHERE id = ANY(CAST(:ids AS text[]))", {"ids": list(task_ids)}))
            rows = await transaction.fetch(
                """SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS text[])) AND completed_at IS NOT NULL
                AND NOT EXISTS (SELECT FROM deliveries WHERE task_id = tasks.id AND deliveries.status IN ('pending', 'held'))""",
                {"ids": list(task_ids)})
            return await _run(transaction, _OF_TASKS, {"ids": [row["id"] for row in rows]}, limit)

        return await self._writer.write_long(prune)

    async def prune_rest(self, *, retention: timedelta, now: datetime, limit: int) -> int:
        parameters = {"now": micros(now), "retention": retention.total_seconds()}
        events = await self._readers.fetch(
            """SELECT expired.id, account.id AS account_id FROM (
                SELECT id, CAST(:now - coalesce(retention, :retention) * 1000000 AS bigint) AS until FROM accounts) AS account
            CROSS JOIN LATERAL (SELECT id FROM events WHERE account_id = account.id AND task_id IS NULL AND created_at < account.until
                AND NOT EXISTS (SELECT FROM deliveries WHERE event_id = events.id AND deliveries.status IN ('pending', 'held'))
                ORDER BY created_at LIMIT :limit) AS expired
            LIMIT :limit""", {**parameters, "limit": limit})

        async def prune(transaction: Transaction) -> int:
            await _lock_owners(transaction, events)
            rows = await transaction.fetch(
                """SELECT id FROM events WHERE id = ANY(CAST(:ids AS text[])) AND NOT EXISTS (
                    SELECT FROM deliveries WHERE event_id = events.id AND deliveries.status IN ('pending', 'held'))""",
                {"ids": [row["id"] for row in events]})
            return await _run(transaction, _OF_NO_TASK, {**parameters, "ids": [row["id"] for row in rows]}, limit)

        return await self._writer.write_long(prune)

    async def counts(self, account_id: str) -> list[Count]:
        rows = await self._readers.fetch(
            """SELECT day, provider, status, CAST(sum(count) AS bigint) AS count FROM (
                SELECT day, provider, status, count FROM counts WHERE account_id = :account_id
                UNION ALL SELECT created_at / 86400000000, provider, status, count(*) FROM tasks WHERE account_id = :account_id
                GROUP BY 1, 2, 3) AS every
            GROUP BY day, provider, status ORDER BY day DESC, provider, status""", {"account_id": account_id})
        return [Count(day=_FIRST_DAY + timedelta(days=row["day"]), provider=row["provider"], status=TaskStatus(row["status"]),
                      count=row["count"]) for row in rows]


async def _lock_owners(transaction: Transaction, rows: Sequence[Row]) -> None:
    await lock_accounts(transaction, {row["account_id"] for row in rows})


async def _run(transaction: Transaction, steps: Sequence[_Step], parameters: dict[str, Any], limit: int) -> int:
    """The steps in their order, none before the one ahead of it is finished. Gives how many rows went."""
    gone = 0
    for step in steps:
        gone += await step(transaction, {**parameters, "limit": limit - gone})
        if gone >= limit:
            break
    return gone


def _deleting(sql: str) -> _Step:
    async def delete(transaction: Transaction, parameters: dict[str, Any]) -> int:
        return len(await transaction.fetch(sql, parameters))

    return delete


async def _delete_tasks(transaction: Transaction, parameters: dict[str, Any]) -> int:
    """What something still hangs on stays: a subscription of a task, to which another task's event was delivered by hand."""
    rows = await transaction.fetch(
        """WITH gone AS (
            DELETE FROM tasks WHERE seq IN (
                SELECT tasks.seq FROM tasks WHERE id = ANY(CAST(:ids AS text[]))
                AND NOT EXISTS (SELECT FROM subscriptions WHERE subscriptions.task_id = tasks.id) LIMIT :limit)
            RETURNING id, account_id, created_at, provider, status),
        counted AS (
            INSERT INTO counts (account_id, day, provider, status, count)
            SELECT account_id, created_at / 86400000000, provider, status, count(*) FROM gone GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
            ON CONFLICT (account_id, day, provider, status) DO UPDATE SET count = counts.count + excluded.count)
        SELECT id FROM gone""", parameters)
    return len(rows)


_OF_TASKS: Final = (
    _deleting(
        """DELETE FROM attempts WHERE seq IN (
            SELECT attempts.seq FROM deliveries JOIN attempts ON attempts.delivery_id = deliveries.id
            WHERE deliveries.task_id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM deliveries WHERE seq IN (
            SELECT seq FROM deliveries WHERE task_id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM events WHERE seq IN (
            SELECT seq FROM events WHERE task_id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM callbacks WHERE seq IN (
            SELECT seq FROM callbacks WHERE task_id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM notes WHERE seq IN (
            SELECT seq FROM notes WHERE task_id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM replays WHERE seq IN (
            SELECT replays.seq FROM subscriptions JOIN replays ON replays.subscription_id = subscriptions.id
            WHERE subscriptions.task_id = ANY(CAST(:ids AS text[])) AND replays.status <> 'running' LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM lanes WHERE subscription_id IN (
            SELECT subscriptions.id FROM subscriptions JOIN lanes ON lanes.subscription_id = subscriptions.id
            WHERE subscriptions.task_id = ANY(CAST(:ids AS text[]))
            AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.subscription_id = subscriptions.id)
            LIMIT :limit) RETURNING subscription_id"""),
    _deleting(
        """DELETE FROM subscriptions WHERE seq IN (
            SELECT seq FROM subscriptions WHERE task_id = ANY(CAST(:ids AS text[]))
            AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.subscription_id = subscriptions.id)
            AND NOT EXISTS (SELECT FROM replays WHERE replays.subscription_id = subscriptions.id)
            LIMIT :limit) RETURNING seq"""),
    _deleting("DELETE FROM idempotency WHERE task_id = ANY(CAST(:ids AS text[])) RETURNING key"),
    _deleting("DELETE FROM calls WHERE task_id = ANY(CAST(:ids AS text[])) RETURNING task_id"),
    _delete_tasks,
)
"""In the order in which they hang on each other."""

_OF_NO_TASK: Final = (
    _deleting(
        """DELETE FROM attempts WHERE seq IN (
            SELECT attempts.seq FROM deliveries JOIN attempts ON attempts.delivery_id = deliveries.id
            WHERE deliveries.event_id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM deliveries WHERE seq IN (
            SELECT seq FROM deliveries WHERE event_id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM events WHERE seq IN (
            SELECT seq FROM events WHERE id = ANY(CAST(:ids AS text[])) LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM replays WHERE seq IN (
            SELECT expired.seq FROM accounts CROSS JOIN LATERAL (
                SELECT seq FROM replays WHERE account_id = accounts.id
                AND completed_at < CAST(:now - coalesce(accounts.retention, :retention) * 1000000 AS bigint) LIMIT :limit) AS expired
            LIMIT :limit) RETURNING seq"""),
    _deleting(
        """DELETE FROM lanes WHERE subscription_id IN (
            SELECT expired.id FROM accounts CROSS JOIN LATERAL (
                SELECT id FROM subscriptions WHERE account_id = accounts.id
                AND deleted_at < CAST(:now - coalesce(accounts.retention, :retention) * 1000000 AS bigint)
                AND EXISTS (SELECT FROM lanes WHERE lanes.subscription_id = subscriptions.id)
                AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.subscription_id = subscriptions.id) LIMIT :limit) AS expired
            LIMIT :limit) RETURNING subscription_id"""),
    _deleting(
        """DELETE FROM subscriptions WHERE seq IN (
            SELECT expired.seq FROM accounts CROSS JOIN LATERAL (
                SELECT seq FROM subscriptions WHERE account_id = accounts.id
                AND deleted_at < CAST(:now - coalesce(accounts.retention, :retention) * 1000000 AS bigint)
                AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.subscription_id = subscriptions.id)
                AND NOT EXISTS (SELECT FROM replays WHERE replays.subscription_id = subscriptions.id) LIMIT :limit) AS expired
            LIMIT :limit) RETURNING seq"""),
    _deleting("DELETE FROM alarms WHERE told_at < :now - 86400000000 RETURNING subject"),
)
