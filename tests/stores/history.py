"""A database in which very much is finished: a hundred thousand tasks, each with a callback, an event, a delivery and an attempt."""

from datetime import timedelta
from typing import Final

import asyncpg

from relay.stores.row import micros
from tests.stores.making import NOW

TASKS: Final = 100_000
GROWING: Final = ("tasks", "callbacks", "events", "deliveries", "attempts", "notes")
"""The tables that grow with each task."""

_SPAN: Final = timedelta(hours=12)


async def make_history(url: str) -> None:
    """All of it in the twelve hours before NOW, of an account with a hundred subscriptions."""
    first = micros(NOW - _SPAN)
    at = f"({first} + n * {(micros(NOW) - first) // TASKS})"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")
        for statement in _STATEMENTS:
            await connection.execute(statement.replace(":at", at).replace(":each", f"generate_series(CAST(1 AS bigint), {TASKS}) AS n"))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


_STATEMENTS: Final = (
    "INSERT INTO accounts (id, name, created_at) VALUES ('acc_old', 'old', 0)",
    """INSERT INTO subscriptions (id, account_id, url, events, format, ordered, signatures, sealed_secret, status, created_at)
    SELECT 'sub_old' || n, 'acc_old', 'https://a.example/', '["*"]', 'standard', false, '["v1"]', 'sealed', 'active', 0
    FROM generate_series(0, 99) AS n""",
    """INSERT INTO tasks (id, account_id, provider, prompt, input, status, progress, images, metadata, created_at, submitted_at,
        completed_at, accepted, watched, sends, polls, deadline_at)
    SELECT 'task_old' || n, 'acc_old', CASE n % 3 WHEN 0 THEN 'kie' WHEN 1 THEN 'apiframe' ELSE 'serevix' END, 'a lighthouse', '{}',
        'succeeded', 100, '[]', '{}', :at, :at, :at, true, false, 1, 0, :at FROM :each""",
    """INSERT INTO callbacks (id, task_id, account_id, provider, verdict, headers, body, received_at)
    SELECT 'cbk_old' || n, 'task_old' || n, 'acc_old', 'kie', 'applied', '{}', '', :at FROM :each""",
    "INSERT INTO notes (task_id, at, kind, detail) SELECT 'task_old' || n, :at, 'poll_failed', '' FROM :each",
    """INSERT INTO events (id, account_id, type, created_at, body, task_id, provider, metadata)
    SELECT 'evt_old' || n, 'acc_old', 'task.succeeded', :at, '{}', 'task_old' || n, 'kie', '{}' FROM :each""",
    """INSERT INTO deliveries (id, account_id, event_id, event_type, subscription_id, task_id, status, attempts, manual, created_at,
        completed_at)
    SELECT 'dlv_old' || n, 'acc_old', 'evt_old' || n, 'task.succeeded', 'sub_old' || n % 100, 'task_old' || n, 'delivered', 1, false,
        :at, :at FROM :each""",
    """INSERT INTO attempts (id, delivery_id, number, started_at, duration_ms, status_code)
    SELECT 'att_old' || n, 'dlv_old' || n, 1, :at, 12.5, 200 FROM :each""",
)
