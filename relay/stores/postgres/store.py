"""The store on PostgreSQL: its parts, gathered."""

import contextlib
import time
from collections.abc import Callable
from datetime import datetime

from relay.bell import Bell
from relay.errors import StoreError
from relay.ports.fleet import Role
from relay.ports.store import Job, Taker
from relay.stores.postgres.account import Accounts
from relay.stores.postgres.alarm import Alarms
from relay.stores.postgres.call import Calls
from relay.stores.postgres.change import Changes
from relay.stores.postgres.claim import Claims
from relay.stores.postgres.connection import Pool, Readers
from relay.stores.postgres.delivery import Deliveries
from relay.stores.postgres.dispatch import Dispatch
from relay.stores.postgres.event import Events
from relay.stores.postgres.figure import Figures
from relay.stores.postgres.fleet import Fleet
from relay.stores.postgres.handover import Handover
from relay.stores.postgres.hint import Hints
from relay.stores.postgres.lane import Lanes
from relay.stores.postgres.line import Line
from relay.stores.postgres.move import Moves
from relay.stores.postgres.replay import Replays
from relay.stores.postgres.retention import Retention
from relay.stores.postgres.routing import Router
from relay.stores.postgres.schema import migrate_target
from relay.stores.postgres.secret import Secrets
from relay.stores.postgres.subscription import Subscriptions
from relay.stores.postgres.target import Target, read_target
from relay.stores.postgres.task import Tasks
from relay.stores.postgres.tenure import Tenure
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.view import Link


class PostgresStore:
    """`relay.ports.store.Store` and `relay.ports.fleet.Fleet`; what each method promises stands there. Every method belongs to one of
    the parts. `holder`: this process's name in all that it holds.

    Round trips: a batch of up to 128 changes of tasks takes six (BEGIN, the tasks, the lanes that deliveries may be handed over in, the
    account's lock, everything that is written, COMMIT; one more where tasks have a callback_url of their own), a batch of attempts
    that ended well five. So an event that comes alone takes eleven from its callback to the end of its delivery, and a hundred that come
    together take eleven too."""

    def __init__(self, target: Target, *, bell: Bell, link: Link, new_id: Callable[[str], str], first_wait: float, role: Role,
                 clock: Callable[[], datetime], ticks: Callable[[], float] = time.monotonic) -> None:
        self.holder = holder = new_id("proc")
        self._pool = pool = Pool(target)
        self._readers = readers = Readers(pool)
        self._router = router = Router(new_id, first_wait)
        hints = Hints(target, bell, holder)
        self._writer = writer = Writer(pool, bell, router.forget_all, hints.tell)

        accounts = Accounts(readers, writer)
        self.add_account, self.account, self.accounts = accounts.add_account, accounts.account, accounts.accounts
        self.set_retention = accounts.set_retention
        self.add_key, self.key, self.keys, self.revoke_key = accounts.add_key, accounts.key, accounts.keys, accounts.revoke_key

        tasks = Tasks(readers, writer, router, holder)
        self.add_task, self.task, self.task_for_callback, self.tasks = tasks.add_task, tasks.task, tasks.task_for_callback, tasks.tasks
        self.timeline, self.erase_task, self.callbacks = tasks.timeline, tasks.erase_task, tasks.callbacks

        calls = Calls(readers, writer, holder)
        self.called, self.rejoin, self.is_attended, self.leave = calls.called, calls.rejoin, calls.is_attended, calls.leave

        claims = Claims(readers, writer, holder)
        self.claim_submissions, self.defer_submission = claims.claim_submissions, claims.defer_submission
        self.doubtful, self.claim_polls, self.schedule = claims.doubtful, claims.claim_polls, claims.schedule
        self._tenure = tenure = Tenure(ticks)
        alarms = Alarms(router, new_id)
        self._handover = handover = Handover(holder, tenure)
        self.apply = Changes(writer, router, handover, alarms, link, new_id, holder).apply

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

        self.settle = Dispatch(writer, router, alarms, holder, tenure).settle
        lanes = Lanes(readers, writer, router, holder, tenure)
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

        self._fleet = fleet = Fleet(Line(target), writer, bell, hints, lanes, tenure, holder=holder, role=role, clock=clock, ticks=ticks)
        self.now, self.run, self.take_on, self.give_up, self.recover = fleet.now, fleet.run, fleet.take_on, fleet.give_up, fleet.recover
        self.look_round = fleet.look_round

    async def join(self) -> None:
        """Be one of the processes."""
        await self._fleet.register()

    async def _probe(self, transaction: Transaction) -> bool:
        """A lock of its own row is written and committed like any other change, and neither other processes nor its heart wait for it."""
        row = await transaction.fetch_one("SELECT id FROM processes WHERE id = :holder FOR KEY SHARE", {"holder": self.holder})
        return row is not None

    def hand_to(self, taker: Taker | None) -> None:
        self._handover.taker = taker
        self._tenure.is_ending = taker is None

    def is_current(self, job: Job) -> bool:
        return self._router.is_current(job)

    async def check(self) -> None:
        """Behind whatever is to be given back, too."""
        await self._writer.catch_up()
        if not await self._writer.write_alone(self._probe):
            raise StoreError("another process took this one for dead: it writes nothing more")

    async def close(self) -> None:
        """Gives back what this process holds, and commits what waits. Closing twice does nothing."""
        await self._fleet.leave()
        await self._writer.close()
        await self._pool.close()


async def open_store(url: str, *, bell: Bell, link: Link, new_id: Callable[[str], str], first_wait: float = 0.0, role: Role = Role.ALL,
                     clock: Callable[[], datetime], ticks: Callable[[], float] = time.monotonic) -> PostgresStore:
    """Bring the database up to date, open it and join the processes that share it. `link` signs the links that stand in event bodies;
    `first_wait`: seconds before the first attempt of a delivery whose subscription has no schedule of its own; `clock`: this machine's.
    Raises ConfigError (what the URL says is wrong, a server that is too old), StoreError (the server cannot be reached)."""
    target = read_target(url)
    await migrate_target(target)
    store = PostgresStore(target, bell=bell, link=link, new_id=new_id, first_wait=first_wait, role=role, clock=clock, ticks=ticks)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        await store.join()
        stack.pop_all()
    return store
