"""Fresh deliveries handed over to whoever sends them, in memory, the moment that they are recorded.

Most deliveries are attempted at once and succeed. To write them down as due, then look for what is due, lease it and read it again
would cost more than all the rest; so those that their taker has room for are written down as held by this process, and handed over after
the commit. If the process dies in between, the others free them as they free all that a dead process held.

Only where this process sends to the subscription, or nobody does: then it does from now on (see tenure). A task's own subscription hears
of one event: that one is handed over, and no lane is made for it.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from relay.model import Subscription
from relay.ports.store import Job, Taker
from relay.stores.offer import may_go, rooms_for, taken_of
from relay.stores.postgres.lane import NOTHING_WAITS
from relay.stores.postgres.lock import lock_accounts
from relay.stores.postgres.tenure import Tenure
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Single
from relay.stores.row import micros


class Handover:
    """To be used inside the writer's transactions, but for `taker`."""

    def __init__(self, holder: str, tenure: Tenure) -> None:
        self.taker: Taker | None = None
        self.holder = holder
        self._tenure = tenure

    async def offer(self, transaction: Transaction, jobs: Sequence[Job], now: datetime) -> list[Job]:
        """Those that are handed over after the commit: they are to be recorded as held."""
        taker = self.taker
        if taker is None or not jobs:
            return []
        rooms = rooms_for(taker, jobs)
        free = await self._free_lanes(transaction, _with_room([job for job in jobs if may_go(job, now)], rooms), now)
        taken = taken_of(jobs, Counter({key: room for key, room in rooms.items() if key in free}), now)
        if taken:
            transaction.in_doubt(_release(taken, self.holder))
            transaction.afterwards(lambda: self._hand(taker, taken))
        return taken

    def _hand(self, taker: Taker, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.subscription.task_id is None:
                self._tenure.use(job.subscription)
        taker.take(jobs)

    async def _free_lanes(self, transaction: Transaction, wanted: Sequence[Subscription], now: datetime) -> set[str]:
        """The ids of those that are this process's now, or need no lane, and have no others due. None if it was taken for dead."""
        if not wanted:
            return set()
        standing = [one.id for one in wanted if one.task_id is None]
        self._tenure.touch(standing)  # none is given up before what is handed over is recorded
        new = [key for key in standing if key not in self._tenure]
        if new:  # lanes are locked after the accounts
            await lock_accounts(transaction, {one.account_id for one in wanted})
        rows = await transaction.fetch(
            """WITH living AS MATERIALIZED (SELECT id FROM processes WHERE id = :holder FOR KEY SHARE), taken AS (
                INSERT INTO lanes (subscription_id, due_at, holder)
                SELECT new.id, :never, living.id FROM unnest(CAST(:new AS text[])) AS new (id), living ORDER BY new.id
                ON CONFLICT (subscription_id) DO UPDATE SET holder = excluded.holder
                WHERE lanes.due_at > :now AND (lanes.holder IS NULL OR lanes.holder = excluded.holder) RETURNING subscription_id)
            SELECT subscription_id FROM taken
            UNION ALL SELECT subscription_id FROM lanes, living
            WHERE subscription_id = ANY(CAST(:kept AS text[])) AND holder = living.id AND due_at > :now
            UNION ALL SELECT own.id FROM unnest(CAST(:own AS text[])) AS own (id), living
            WHERE NOT EXISTS (SELECT 1 FROM lanes WHERE lanes.subscription_id = own.id AND due_at <= :now)""",
            {"holder": self.holder, "never": NOTHING_WAITS, "now": micros(now), "new": new,
             "kept": [key for key in standing if key not in new], "own": [one.id for one in wanted if one.task_id is not None]})
        return {row["subscription_id"] for row in rows}


def _with_room(jobs: Sequence[Job], rooms: Counter[str]) -> list[Subscription]:
    return [one for one in {job.subscription.id: job.subscription for job in jobs}.values() if rooms[one.id] > 0 and not one.ordered]


def _release(jobs: Sequence[Job], holder: str) -> Single[None]:
    """Should nobody know whether they were recorded. It may be that they still will be (see writer): whoever records them has the
    locks of their accounts until then."""
    ids = [job.delivery.id for job in jobs]

    async def release(transaction: Transaction) -> None:
        await lock_accounts(transaction, {job.delivery.account_id for job in jobs})
        await transaction.run(
            "UPDATE deliveries SET holder = NULL WHERE id = ANY(CAST(:ids AS text[])) AND holder = :holder", {"ids": ids, "holder": holder})

    return release
