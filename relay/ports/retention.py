"""Retention: what is finished long enough goes, in small steps; how much there was stays known.

A task goes with its callbacks, notes, events, deliveries, attempts, its own subscription and its idempotency key, once it ended
before the account's time; an event of no task with its deliveries and attempts; a deleted subscription and an ended replay once
nothing speaks of them any more. Nothing goes that is open, pending or held, or waited for by something that is.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from msgspec import Struct

from relay.model import Task, TaskStatus


class Count(Struct, frozen=True, kw_only=True):
    """How many tasks of one provider that were made on one day (UTC) stand so."""

    day: date
    provider: str
    status: TaskStatus
    count: int


class Retention(Protocol):
    """The part of the store that forgets. `retention`: of accounts that have none of their own."""

    async def expired_tasks(self, *, retention: timedelta, now: datetime, limit: int) -> list[Task]:
        """Tasks whose time is over. Their pictures are the caller's to discard, before they are pruned."""
        ...

    async def prune_tasks(self, task_ids: Sequence[str], *, limit: int) -> int:
        """Remove about `limit` rows of these tasks, in one short transaction: first what hangs on them, at last the tasks.
        Gives how many rows went; less than `limit`: all of them are gone, but what something waits for again."""
        ...

    async def prune_rest(self, *, retention: timedelta, now: datetime, limit: int) -> int:
        """The same for what belongs to no task."""
        ...

    async def counts(self, account_id: str) -> list[Count]:
        """Of all tasks that there ever were, the pruned ones too, the newest day first."""
        ...
