"""Replays under way, until the process stops. How far each came stands in the store, so a restart goes on where it was.

Only as many of a replay's deliveries wait for their first attempt as may be attempted at once, and only one where they are paced: what
happens meanwhile waits for one round of attempts at most, and a receiver that is slow slows its own replay down and nothing else.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from relay.bell import Bell
from relay.errors import StoreError
from relay.ports import Replays

_log = logging.getLogger(__name__)

_AHEAD: Final = 8  # as many as are attempted at a time, unless the subscription says otherwise
_LOOK_AGAIN_SECONDS: Final = 30.0  # what was cancelled rings for nobody
_STORE_PAUSE_SECONDS: Final = 1.0


class ReplayWorker:
    """`ahead`: how many deliveries of one replay may wait for their first attempt."""

    def __init__(self, store: Replays, bell: Bell, *, clock: Callable[[], datetime], ahead: int = _AHEAD) -> None:
        self._store = store
        self._bell = bell
        self._clock = clock
        self._ahead = ahead

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, which is to be followed by a ring."""
        with self._bell.listen("replays") as rung:
            while not stopping.is_set():
                try:
                    is_busy = await self._advance_all(stopping)
                except StoreError as exc:
                    _log.warning("replays cannot go on now: %s", exc.message)
                    await rung.wait(_STORE_PAUSE_SECONDS)
                    continue
                if not is_busy:
                    await rung.wait(_LOOK_AGAIN_SECONDS)

    async def _advance_all(self, stopping: asyncio.Event) -> bool:
        """One step of each. Whether any of them can go on at once."""
        is_busy = False
        for replay_id in await self._store.replays_to_advance():
            if stopping.is_set():
                return False
            is_busy |= await self._store.advance_replay(replay_id, ahead=self._ahead, now=self._clock())
        return is_busy
