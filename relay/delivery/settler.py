"""Writing down what came of attempts: what has piled up while one write was under way goes into the next one together.

Nothing is dropped. While the store cannot take an outcome, it is kept and offered again, at growing intervals.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from relay.errors import StoreError
from relay.ports import Settlement, Store

_log = logging.getLogger(__name__)

_LARGEST_BATCH: Final = 500
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class Settler:
    """`on_settled` is called after each write, with what was settled."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime], on_settled: Callable[[Sequence[Settlement]], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_settled = on_settled
        self._settlements: list[Settlement] = []
        self._released: list[str] = []
        self._something = asyncio.Event()
        self._closed = False

    @property
    def backlog(self) -> int:
        """Outcomes that wait for their turn."""
        return len(self._settlements)

    def settle(self, settlement: Settlement) -> None:
        self._settlements.append(settlement)
        self._something.set()

    def release(self, delivery_ids: Sequence[str]) -> None:
        """Give deliveries back, after what was to be settled before this was said."""
        self._released.extend(delivery_ids)
        self._something.set()

    def close(self) -> None:
        """`run` ends as soon as all is written, what is given back by then too."""
        self._closed = True
        self._something.set()

    async def run(self) -> None:
        while not self._closed or self._settlements or self._released:
            await self._something.wait()
            self._something.clear()
            await self._write_all()
        with contextlib.suppress(StoreError):
            await self._store.release_deliveries(())  # what was written before this was handed over by now, if it was to be
        await self._write_all()

    async def _write_all(self) -> None:
        while self._settlements or self._released:
            await self._write()

    async def _write(self) -> None:
        settlements, self._settlements = self._settlements[:_LARGEST_BATCH], self._settlements[_LARGEST_BATCH:]
        released: list[str] = []
        if not self._settlements:
            released, self._released = self._released, []
        if settlements:
            await self._insist(lambda: self._store.settle(settlements, now=self._clock()), f"{len(settlements)} outcomes")
        if released:
            await self._insist(lambda: self._store.release_deliveries(released), f"{len(released)} deliveries to give back")
        self._on_settled(settlements)

    async def _insist(self, write: Callable[[], Awaitable[None]], what: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await write()
            except StoreError as exc:
                _log.warning("the store does not take %s now, trying again in %g s: %s", what, pause, exc.message)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
