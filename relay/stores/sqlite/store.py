"""The store on SQLite: its parts, gathered."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from relay.bell import Bell
from relay.errors import StoreError
from relay.ports.store import Job, Taker
from relay.stores.sqlite.account import Accounts
from relay.stores.sqlite.alarm import Alarms
from relay.stores.sqlite.call import Calls
from relay.stores.sqlite.change import Changes
from relay.stores.sqlite.claim import Claims
from relay.stores.sqlite.connection import Readers, connect_writer
from relay.stores.sqlite.delivery import Deliveries
from relay.stores.sqlite.dispatch import Dispatch
from relay.stores.sqlite.event import Events
from relay.stores.sqlite.figure import Figures
from relay.stores.sqlite.handover import Handover
from relay.stores.sqlite.lane import Lanes
from relay.stores.sqlite.lock import OwnerLock
from relay.stores.sqlite.move import Moves
from relay.stores.sqlite.replay import Replays
from relay.stores.sqlite.retention import Retention
from relay.stores.sqlite.routing import Router
from relay.stores.sqlite.schema import migrate_owned
from relay.stores.sqlite.secret import Secrets
from relay.stores.sqlite.subscription import Subscriptions
from relay.stores.sqlite.task import Tasks
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer
from relay.view import Link


class SqliteStore:
    """`relay.ports.store.Store`; what each method promises stands there. Every method belongs to one of the parts."""

    def __init__(self, lock: OwnerLock, readers: Readers, connection: sqlite3.Connection, *, bell: Bell, link: Link,
                 new_id: Callable[[str], str], first_wait: float) -> None:
        self._lock = lock
        self._readers = readers
        self._router = router = Router(new_id, first_wait)
        self._writer = writer = Writer(connection, bell, router.forget_all)

        accounts = Accounts(readers, writer)
        self.add_account, self.account, self.accounts = accounts.add_account, accounts.account, accounts.accounts
        self.set_retention = accounts.set_retention
        self.add_key, self.key, self.keys, self.revoke_key = accounts.add_key, accounts.key, accounts.keys, accounts.revoke_key

        tasks = Tasks(readers, writer, router)
        self.add_task, self.task, self.task_for_callback, self.tasks = tasks.add_task, tasks.task, tasks.task_for_callback, tasks.tasks
        self.timeline, self.erase_task, self.callbacks = tasks.timeline, tasks.erase_task, tasks.callbacks

        calls = Calls(readers, writer)
        self.called, self.rejoin, self.is_attended, self.leave = calls.called, calls.rejoin, calls.is_attended, calls.leave

        claims = Claims(readers, writer)
        self.claim_submissions, self.defer_submission = claims.claim_submissions, claims.defer_submission
        self.doubtful, self.claim_polls, self.schedule = claims.doubtful, claims.claim_polls, claims.schedule
        alarms = Alarms(router, new_id)
        self._handover = handover = Handover()
        self.apply = Changes(writer, router, handover, alarms, link, new_id).apply

        events = Events(readers, writer, router)
        self.add_event, self.event, self.events = events.add_event, events.event, events.events
        self.events_since, self.last_event_id = events.events_since, events.last_event_id

        moves = Moves(readers, writer)
        self.move_deliveries = moves.move_deliveries
        subscriptions = Subscriptions(readers, writer, router, moves)
        self.add_subscription, self.subscription = subscriptions.add_subscription, subscriptions.subscription
        self.subscriptions, self.change_subscription = subscriptions.subscriptions, subscriptions.change_subscription
        self.set_subscription_status = subscriptions.set_subscription_status
        self.remove_subscription = subscriptions.remove_subscription

        secrets = Secrets(readers, writer)
        self.sealed_secrets, self.reseal = secrets.sealed_secrets, secrets.reseal

        dispatch = Dispatch(writer, router, alarms)
        self.settle = dispatch.settle

        lanes = Lanes(readers, writer, router)
        self.claim_deliveries, self.confirm_job = lanes.claim_deliveries, lanes.confirm_job
        self.release_deliveries = lanes.release_deliveries

        deliveries = Deliveries(readers, writer, new_id)
        self.add_delivery, self.retry_delivery = deliveries.add_delivery, deliveries.retry_delivery
        self.delivery, self.deliveries, self.attempts = deliveries.delivery, deliveries.deliveries, deliveries.attempts
        replays = Replays(readers, writer, router, new_id)
        self.add_replay, self.replay, self.replays = replays.add_replay, replays.replay, replays.replays
        self.cancel_replay, self.replays_to_advance = replays.cancel_replay, replays.replays_to_advance
        self.advance_replay = replays.advance_replay

        retention = Retention(readers, writer)
        self.expired_tasks, self.prune_tasks = retention.expired_tasks, retention.prune_tasks
        self.prune_rest, self.counts = retention.prune_rest, retention.counts
        self.figures = Figures(readers).figures

    def hand_to(self, taker: Taker | None) -> None:
        self._handover.taker = taker

    def is_current(self, job: Job) -> bool:
        return job.seen == self._router.changes(job.delivery.account_id)

    async def recover(self) -> None:
        await self._writer.write_long(_free_all)

    async def check(self) -> None:
        await self._writer.write_alone(_probe)

    async def close(self) -> None:
        """Commits what waits. Closing twice does nothing."""
        await self._readers.close()
        await self._writer.close()
        self._lock.release()


async def open_store(path: Path, *, bell: Bell, link: Link, new_id: Callable[[str], str], first_wait: float = 0.0) -> SqliteStore:
    """Take the file for this process, bring it up to date and open it. `link` signs the links that stand in event bodies;
    `first_wait`: seconds before the first attempt of a delivery whose subscription has no schedule of its own.
    Raises ConfigError (in use, made by a newer version, no such folder), StoreError (not a database, unreadable)."""
    lock = OwnerLock(path)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(lock.release)
        await asyncio.to_thread(migrate_owned, path)
        try:
            connection = connect_writer(path)
            stack.callback(connection.close)
            readers = await Readers.open(path)
        except sqlite3.Error as exc:
            raise StoreError(f"{path} cannot be opened as a database: {exc}") from exc
        stack.pop_all()
    return SqliteStore(lock, readers, connection, bell=bell, link=link, new_id=new_id, first_wait=first_wait)


def _free_all(transaction: Transaction) -> None:
    """The owner lock is ours: whoever held something is dead."""
    transaction.run("UPDATE tasks SET leased = 0 WHERE leased = 1 AND status IN ('submitted', 'processing')", {})
    transaction.run("UPDATE deliveries SET leased = 0 WHERE leased = 1", {})
    transaction.run("UPDATE calls SET leased = 0 WHERE leased = 1", {})
    transaction.ring("submissions", "polls", "deliveries")


def _probe(transaction: Transaction) -> None:
    transaction.run("UPDATE probe SET count = count + 1", {})
