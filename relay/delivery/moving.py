"""Deliveries by the ten thousand that are held, sent or cancelled because of what became of their subscription, until the process stops.

Each step is short, and whatever else waits to be written goes in between. What is left stands in the store, so a restart goes on
where it was.
"""

import asyncio
import logging
from typing import Final

from relay.bell import Bell
from relay.errors import StoreError
from relay.ports import Store

_log = logging.getLogger(__name__)

_STORE_PAUSE_SECONDS: Final = 1.0


class Mover:
    """Takes the steps that the store has left."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store = store
        self._bell = bell

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, which is to be followed by a ring."""
        with self._bell.listen("moves") as rung:
            while not stopping.is_set():
                try:
                    pause = 0.0 if await self._store.move_deliveries() else None
                except StoreError as exc:
                    _log.warning("deliveries cannot be moved now: %s", exc.message)
                    pause = _STORE_PAUSE_SECONDS
                if pause != 0.0:
                    await rung.wait(pause)
