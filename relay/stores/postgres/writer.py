"""Changes, made together: whatever of one kind waits at the same moment shares one transaction, and so one wait for the disk.

A caller puts an item into its kind's queue, and awaits the outcome. While one transaction of a kind is on its way, the next items
gather; kinds do not wait for each other. What does not profit from company has a transaction of its own at once.

One caller's fault never fails another's change. A function gives a RequestError as the outcome of the item that deserves it, having
written nothing for it. Any other failure rolls the transaction back, and each item is tried in a transaction of its own; unless the
server is at fault (gone, full, read-only), when all that were in it fail at once. Where two transactions were in each other's way, or a
connection was lost before the COMMIT, it is made again.

If the connection is lost in the COMMIT, nobody can tell what became of it. Its callers get StoreError, and whatever they
would hold now without knowing (a claim, deliveries handed over) is given back before anything else is claimed. The server may still be
at that COMMIT then, and nobody sees yet what it has changed: what gives back has to wait for its locks first.

A caller who is cancelled while it waits is dropped if its turn has not come. Otherwise its change stands; what it took for itself
and can no longer hold is given back by its `undo`.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from relay.bell import Bell
from relay.errors import RequestError, StoreError
from relay.stores.postgres.connection import Connection, Pool
from relay.stores.postgres.fault import in_words, is_at_odds, is_fault_of_server, is_gone
from relay.stores.postgres.process import DEAD_SECONDS
from relay.stores.postgres.transaction import Transaction

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result | RequestError]]]
"""Handles all items of one kind: one outcome for each, in the same order."""

Single = Callable[[Transaction], Awaitable[Result]]
"""A change that is made by itself. It may raise RequestError, as long as it has written nothing."""

_log = logging.getLogger(__name__)

_LARGEST_BATCH: Final = 128
_HEAVIEST_BATCH: Final = 4 * 1024 * 1024  # characters: what is written at once is in memory several times
_MOST_WAITING: Final = 8192
_TRIES: Final = 8
_LONG_SECONDS: Final = 30.0
_BEGIN: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = {DEAD_SECONDS * 1000:.0f}"
"""One round trip. Whoever has waited for a lock has to see what was committed meanwhile, whatever the database's default is. A machine that
died inside a transaction would keep its locks until the network notices; so they are gone by the time that it is taken for dead, and
whoever frees what it held finds nothing locked."""


class _Waiting(Struct, eq=False):
    """A caller's place in the queue."""

    item: Any
    future: asyncio.Future[Any]
    undo: Callable[[Any], Single[None]] | None = None
    weight: int = 0
    is_over: bool = False


class _InDoubt(Exception):
    """The connection was lost in the COMMIT."""

    def __init__(self, transaction: Transaction, outcomes: Sequence[Any]) -> None:
        super().__init__("it is not known whether it was committed")
        self.transaction = transaction
        self.outcomes = outcomes


class Writer:
    """`forget` is called after a rollback: what was learnt inside the transaction is not true. `tell`: the topics
    that were rung, for other processes."""

    def __init__(self, pool: Pool, bell: Bell, forget: Callable[[], None], tell: Callable[[Sequence[str]], None]) -> None:
        self._pool = pool
        self._bell = bell
        self._forget = forget
        self._tell_others = tell
        self._queues: dict[Work[Any, Any], deque[_Waiting]] = {}
        self._at_work: set[asyncio.Task[None]] = set()
        self._owed: list[Single[Any]] = []
        self._paying = asyncio.Lock()
        self._abandoned: set[_Waiting] = set()
        self._left_nobody = asyncio.Event()
        self._is_closing = False

    async def write(self, work: Work[Item, Result], item: Item, *, weight: int = 0,
                    undo: Callable[[Result], Single[None]] | None = None) -> Result:
        """The outcome of `item`, after the commit. `weight`: how many characters it brings, where they may be many. Raises StoreError, and
        whatever RequestError `work` gives."""
        self._refuse_if_closing()
        if undo and self._owed:
            await self._pay()
        queue = self._queues.get(work)
        if queue is None:
            queue = self._queues[work] = deque()
            self._start(self._drain(work, queue), "writer")
        if len(queue) >= _MOST_WAITING:
            raise StoreError(f"{len(queue)} changes are waiting to be written already")
        waiting = _Waiting(item, asyncio.get_running_loop().create_future(), undo, weight)
        queue.append(waiting)
        result: Result = await self._outcome(waiting)
        return result

    async def write_alone(self, single: Single[Result], *, undo: Callable[[Result], Single[None]] | None = None) -> Result:
        """The same for a change that does not profit from being made together with others of its kind."""
        self._refuse_if_closing()
        if undo and self._owed:
            await self._pay()
        waiting = _Waiting(single, asyncio.get_running_loop().create_future(), undo)
        self._start(self._record(_one_by_one, [waiting]), "writer of one")
        result: Result = await self._outcome(waiting)
        return result

    async def write_long(self, single: Single[Result]) -> Result:
        """The same for one that may touch many rows."""
        async def patiently(transaction: Transaction) -> Result:
            transaction.seconds = _LONG_SECONDS
            return await single(transaction)

        return await self.write_alone(patiently)

    async def catch_up(self) -> None:
        """Until what was begun for callers who are gone by now has ended, and is given back. Raises StoreError."""
        while self._abandoned:
            self._left_nobody.clear()
            await self._left_nobody.wait()
        await self._pay()

    async def close(self) -> None:
        """Commit what waits."""
        self._is_closing = True
        while self._at_work:
            await asyncio.wait(self._at_work)

    def _refuse_if_closing(self) -> None:
        if self._is_closing:
            raise StoreError("the store is closed")

    def _start(self, run: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(run, name=name)
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _outcome(self, waiting: _Waiting) -> Any:  # noqa: ANN401 -- as various as the kinds of work
        try:
            return await waiting.future
        except asyncio.CancelledError:
            future = waiting.future
            if future.cancelled():
                self._abandoned.update(() if waiting.is_over else (waiting,))
            elif future.exception() is None:
                self._undo(waiting, future.result())
            raise

    async def _drain(self, work: Work[Any, Any], queue: deque[_Waiting]) -> None:
        """All that waits of one kind, until nothing does."""
        try:
            while batch := self._take(queue):
                await self._record(work, batch)
        finally:
            del self._queues[work]
            self._fail_all(queue, None)

    def _take(self, queue: deque[_Waiting]) -> list[_Waiting]:
        """The next batch, without those whose callers are gone."""
        batch: list[_Waiting] = []
        weight = 0
        while queue and len(batch) < _LARGEST_BATCH and weight < _HEAVIEST_BATCH:
            waiting = queue.popleft()
            if waiting.future.cancelled():
                self._let_go(waiting)
            else:
                batch.append(waiting)
                weight += waiting.weight
        return batch

    async def _record(self, work: Work[Any, Any], batch: Sequence[_Waiting]) -> None:
        """Commit the batch and tell its callers; if it fails, find whose fault it was."""
        try:
            transaction, outcomes = await self._commit(work, batch)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, the callers are told, and the writer lives on
            await self._after_failure(work, batch, exc)
            return
        except BaseException:
            self._fail_all(batch, None)
            raise
        for waiting, outcome in zip(batch, outcomes, strict=True):
            self._tell(waiting, outcome)
        transaction.finish(self._bell, self._tell_others)
        self._pay_soon()

    async def _after_failure(self, work: Work[Any, Any], batch: Sequence[_Waiting], exc: Exception) -> None:
        if isinstance(exc, _InDoubt):
            self._owe(batch, exc)
        if len(batch) == 1 or isinstance(exc, _InDoubt) or is_fault_of_server(exc):
            self._fail_all(batch, exc)
            return
        for waiting in batch:
            await self._record(work, [waiting])

    async def _commit(self, work: Work[Any, Any], batch: Sequence[_Waiting]) -> tuple[Transaction, Sequence[Any]]:
        """As often as it takes, within reason."""
        tries = 0
        while True:
            tries += 1
            try:
                async with self._pool.connection() as connection:
                    return await _in_transaction(connection, work, [waiting.item for waiting in batch])
            except BaseException as exc:
                self._forget()
                is_hopeless = isinstance(exc, TimeoutError | StoreError) or tries >= _TRIES
                if is_hopeless or not (is_at_odds(exc) or is_gone(exc)):
                    raise
            await asyncio.sleep(random.uniform(0, 0.005 * tries))  # noqa: S311 -- spreads those that met

    def _tell(self, waiting: _Waiting, outcome: Any) -> None:  # noqa: ANN401 -- as above
        self._let_go(waiting)
        if waiting.future.cancelled():
            self._undo(waiting, outcome)
        elif isinstance(outcome, RequestError):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)

    def _fail_all(self, waiting: Iterable[_Waiting], cause: Exception | None) -> None:
        for one in waiting:
            _fail(one, cause)
            self._let_go(one)

    def _undo(self, waiting: _Waiting, outcome: Any) -> None:  # noqa: ANN401 -- as above
        if waiting.undo is not None and not isinstance(outcome, RequestError):
            self._owed.append(waiting.undo(outcome))
            self._pay_soon()

    def _let_go(self, waiting: _Waiting) -> None:
        waiting.is_over = True
        self._abandoned.discard(waiting)
        if not self._abandoned:
            self._left_nobody.set()

    def _owe(self, batch: Sequence[_Waiting], doubt: _InDoubt) -> None:
        self._owed += doubt.transaction.doubts
        for waiting, outcome in zip(batch, doubt.outcomes, strict=True):
            if waiting.undo is not None and not isinstance(outcome, RequestError):
                self._owed.append(waiting.undo(outcome))

    def _pay_soon(self) -> None:
        if self._owed and not self._paying.locked():
            self._start(self._pay_quietly(), "writer of what is given back")

    async def _pay_quietly(self) -> None:
        try:
            await self._pay()
        except StoreError:
            _log.debug("what is to be given back has to wait for the database")

    async def _pay(self) -> None:
        """Give back what is held without anybody knowing. Raises StoreError; then it is still owed."""
        async with self._paying:
            while self._owed:
                waiting = _Waiting(self._owed[0], asyncio.get_running_loop().create_future())
                try:
                    transaction, _ = await self._commit(_one_by_one, [waiting])
                except Exception as exc:
                    raise StoreError(f"the database cannot take this: {in_words(exc)}") from exc
                self._owed.pop(0)
                transaction.finish(self._bell, self._tell_others)


async def _in_transaction(connection: Connection, work: Work[Any, Any], items: Sequence[Any]) -> tuple[Transaction, Sequence[Any]]:
    transaction = Transaction(connection)
    await connection.execute(_BEGIN)
    try:
        outcomes = await work(transaction, items)
    except Exception as exc:
        if not is_gone(exc):
            await connection.execute("ROLLBACK")
        raise
    try:
        await connection.execute("COMMIT")
    except Exception as exc:
        if is_gone(exc):
            connection.terminate()
            raise _InDoubt(transaction, outcomes) from exc
        raise
    return transaction, outcomes


async def _one_by_one(transaction: Transaction, singles: Sequence[Single[Result]]) -> list[Result | RequestError]:
    return [await _single_outcome(transaction, single) for single in singles]


async def _single_outcome(transaction: Transaction, single: Single[Result]) -> Result | RequestError:
    try:
        return await single(transaction)
    except RequestError as exc:
        return exc


def _fail(waiting: _Waiting, cause: Exception | None) -> None:
    if waiting.future.done():
        return
    error = StoreError(f"the database cannot take this: {in_words(cause)}" if cause else "the store's writer has stopped")
    error.__cause__ = cause
    waiting.future.set_exception(error)
