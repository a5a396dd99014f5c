"""The one writer: whatever waits at the same moment shares one transaction, and so one wait for the disk (group commit).

A caller puts an item into the queue together with the function that handles items of its kind, and awaits the outcome. The
writer takes all that waits, lets each kind's function handle its items in order of arrival, commits, and only then tells the
callers and rings. Among callers that wait at the same moment no order is promised, so kinds may be handled one after another.

What waits (for the disk in a COMMIT, for a stranger's lock in a BEGIN) does so in a thread, and so does a change that may take
long, in a transaction of its own. The statements of all others are made in the event loop: each takes microseconds, and a thread would
wait at every one of them for its turn to run Python again, which under load cost a third of the throughput.

One caller's fault never fails another's change. A function gives a RequestError as the outcome of the item that deserves it,
having written nothing for it. Any other failure rolls the transaction back, and each item is tried in a transaction of its
own; unless the file itself is at fault (full, locked, broken), when all that wait fail at once, but for what nobody waits for: an
`undo` is kept until the file takes something again.

A caller who is cancelled while it waits is dropped if its turn has not come. Otherwise its change stands; what it took for
itself and can no longer hold (a claim) is given back by its `undo`.

If the writer's task dies, everything that waits and every later call raises StoreError: nothing hangs.
"""

import asyncio
import functools
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from msgspec import Struct

from relay.bell import Bell
from relay.errors import RequestError, StoreError
from relay.stores.sqlite.connection import BUSY_MS
from relay.stores.sqlite.transaction import Transaction

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Transaction, Sequence[Item]], Sequence[Result | RequestError]]
"""Handles all items of one kind: one outcome for each, in the same order."""

Single = Callable[[Transaction], Result]
"""A change that is made by itself. It may raise RequestError, as long as it has written nothing."""

_LARGEST_BATCH: Final = 128
_MOST_WAITING: Final = 8192
_FILE_FAULTS: Final = frozenset({
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB,
})


class _Waiting(Struct, eq=False):
    """A caller's place in the queue."""

    work: Work[Any, Any]
    item: Any
    future: asyncio.Future[Any]
    undo: Callable[[Any], Single[None]] | None = None
    is_long: bool = False
    is_undo: bool = False


class Writer:
    """Owns the writing connection. `forget` is called after a rollback: what was learnt inside the transaction is not true."""

    def __init__(self, connection: sqlite3.Connection, bell: Bell, forget: Callable[[], None]) -> None:
        self._connection = connection
        self._bell = bell
        self._forget = forget
        self._queue: deque[_Waiting] = deque()
        self._put_off: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._is_closing = False
        self._is_closed = False
        self._thread = ThreadPoolExecutor(1, "sqlite writer")
        self._task = asyncio.create_task(self._run(), name="sqlite writer")

    async def write(self, work: Work[Item, Result], item: Item, *, undo: Callable[[Result], Single[None]] | None = None,
                    is_long: bool = False) -> Result:
        """The outcome of `item`, after the commit. Raises StoreError, and whatever RequestError `work` gives."""
        if self._is_closing or self._task.done():
            raise StoreError("the store is closed" if self._is_closing else "the store's writer has stopped")
        if len(self._queue) >= _MOST_WAITING:
            raise StoreError(f"{len(self._queue)} changes are waiting to be written already")
        waiting = _Waiting(work, item, asyncio.get_running_loop().create_future(), undo, is_long)
        self._queue.append(waiting)
        self._wake.set()
        try:
            result: Result = await waiting.future
        except asyncio.CancelledError:
            self._give_back(waiting)
            raise
        return result

    async def write_alone(self, single: Single[Result], *, undo: Callable[[Result], Single[None]] | None = None) -> Result:
        """The same for a change that does not profit from being made together with others of its kind."""
        return await self.write(_one_by_one, single, undo=undo)

    async def write_long(self, single: Single[Result]) -> Result:
        """The same for one that may touch many rows: it has a transaction of its own."""
        return await self.write(_one_by_one, single, is_long=True)

    async def close(self) -> None:
        """Commit what waits, then close the connection. Whoever closes it too waits for that as well."""
        self._is_closing = True
        self._wake.set()
        await asyncio.wait([self._task])
        if not self._is_closed:
            await self._in_thread(self._connection.close)
            self._is_closed = True
            self._thread.shutdown()

    async def _run(self) -> None:
        try:
            while not (self._is_closing and not self._queue):
                await self._wake.wait()
                self._wake.clear()
                while batch := self._take():
                    await self._record(batch)
        finally:
            for waiting in self._queue:
                _fail(waiting, None)
            self._queue.clear()

    def _take(self) -> list[_Waiting]:
        """The next batch, without those whose callers are gone; empty only if nobody waits. A long one is a batch by itself."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < _LARGEST_BATCH and not (batch and self._queue[0].is_long):
            waiting = self._queue.popleft()
            if not waiting.future.cancelled():
                batch.append(waiting)
                if waiting.is_long:
                    break
        return batch

    async def _record(self, batch: list[_Waiting]) -> None:
        """Commit the batch and tell its callers; if it fails, find whose fault it was."""
        transaction = Transaction(self._connection)
        try:
            outcomes = await self._commit(transaction, batch)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, the callers are told, and the writer lives on
            await self._after_failure(batch, exc)
            return
        except BaseException:
            self._queue.extendleft(reversed(batch))  # the writer is being stopped: they fail with all that waits
            raise
        for waiting, outcome in zip(batch, outcomes, strict=True):
            self._tell(waiting, outcome)
        self._take_up()
        transaction.finish(self._bell)

    async def _after_failure(self, batch: list[_Waiting], exc: Exception) -> None:
        if is_fault_of_file := _is_fault_of_file(exc):
            batch = self._without_undos([*batch, *self._queue])
            self._queue.clear()
        if is_fault_of_file or len(batch) == 1:
            for waiting in batch:
                _fail(waiting, exc)
            return
        for index, waiting in enumerate(batch):
            try:
                await self._record([waiting])
            except BaseException:
                self._queue.extend(batch[index + 1:])
                raise

    def _without_undos(self, waiting: list[_Waiting]) -> list[_Waiting]:
        self._put_off += [one for one in waiting if one.is_undo]
        return [one for one in waiting if not one.is_undo]

    def _take_up(self) -> None:
        """The file has taken something: it may take what was put off."""
        if self._put_off:
            self._queue.extend(self._put_off)
            self._put_off.clear()
            self._wake.set()

    async def _commit(self, transaction: Transaction, batch: list[_Waiting]) -> list[Any]:
        try:
            if batch[0].is_long:
                return await self._in_thread(functools.partial(self._commit_long, transaction, batch))
            if not self._begins_at_once():
                await self._in_thread(self._begin)
            outcomes = _handle(transaction, batch)
            await self._in_thread(functools.partial(self._connection.execute, "COMMIT"))
        except BaseException:
            self._forget()
            await asyncio.shield(self._in_thread(self._roll_back))
            raise
        return outcomes

    def _commit_long(self, transaction: Transaction, batch: list[_Waiting]) -> list[Any]:
        self._begin()
        outcomes = _handle(transaction, batch)
        self._connection.execute("COMMIT")
        return outcomes

    def _in_thread(self, call: Callable[[], Result]) -> asyncio.Future[Result]:
        """Calls are made one after another, those that were cancelled meanwhile too."""
        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _begins_at_once(self) -> bool:
        """False if a stranger (a backup, a shell) holds the file."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def _begin(self) -> None:
        """Wait for the stranger, but not for ever."""
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # else SQLite has done so by itself, or it never began
            self._connection.execute("ROLLBACK")

    def _tell(self, waiting: _Waiting, outcome: Any) -> None:  # noqa: ANN401 -- as various as the kinds of work
        if waiting.future.cancelled():
            self._undo(waiting, outcome)
        elif isinstance(outcome, RequestError):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)

    def _give_back(self, waiting: _Waiting) -> None:
        """Its caller was cancelled after the outcome had come, before taking it."""
        future = waiting.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self._undo(waiting, future.result())

    def _undo(self, waiting: _Waiting, outcome: Any) -> None:  # noqa: ANN401 -- as above
        if waiting.undo is not None and not isinstance(outcome, RequestError):
            undo = waiting.undo(outcome)
            self._queue.append(_Waiting(_one_by_one, undo, asyncio.get_running_loop().create_future(), is_undo=True))
            self._wake.set()


def _handle(transaction: Transaction, batch: list[_Waiting]) -> list[Any]:
    """The outcomes of the batch, in its order; kinds in the order of their first item."""
    kinds: dict[Work[Any, Any], list[int]] = {}
    for index, waiting in enumerate(batch):
        kinds.setdefault(waiting.work, []).append(index)
    outcomes: list[Any] = [None] * len(batch)
    for work, indexes in kinds.items():
        results = work(transaction, [batch[index].item for index in indexes])
        for index, result in zip(indexes, results, strict=True):
            outcomes[index] = result
    return outcomes


def _one_by_one(transaction: Transaction, singles: Sequence[Single[Result]]) -> list[Result | RequestError]:
    return [_outcome(transaction, single) for single in singles]


def _outcome(transaction: Transaction, single: Single[Result]) -> Result | RequestError:
    try:
        return single(transaction)
    except RequestError as exc:
        return exc


def _fail(waiting: _Waiting, cause: Exception | None) -> None:
    if waiting.future.done() or waiting.is_undo:
        return
    error = StoreError(f"the database cannot take this: {cause}" if cause else "the store's writer has stopped")
    error.__cause__ = cause
    waiting.future.set_exception(error)


def _is_fault_of_file(exc: Exception) -> bool:
    return isinstance(exc, sqlite3.Error) and getattr(exc, "sqlite_errorcode", 0) & 0xFF in _FILE_FAULTS
