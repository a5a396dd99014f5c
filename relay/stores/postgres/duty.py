"""Work that one process does for all of them: asking a provider how tasks stand, pruning, replaying.

Whoever comes first has a duty until it ends, or gives it up; the others wait, learn with their heartbeats whether it is free, and one
of them has it next.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from relay.bell import Bell
from relay.errors import StoreError
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer

_TOPIC: Final = "duties"
_LOOK_AGAIN_SECONDS: Final = 5.0


class Duties:
    """The duties of the process `holder`."""

    def __init__(self, writer: Writer, bell: Bell, holder: str) -> None:
        self._writer = writer
        self._bell = bell
        self._holder = holder
        self._taken: frozenset[str] = frozenset()

    def note(self, taken: Iterable[str]) -> None:
        """Those that others have, as read just now: it is of no use to ask for them before that is known to have changed."""
        self._taken = frozenset(taken)

    async def take_on(self, duty: str, stopping: asyncio.Event) -> bool:
        """See ports.Fleet."""
        with self._bell.listen(_TOPIC) as rung:
            while not stopping.is_set():
                if duty not in self._taken and await self._take(duty):
                    return True
                await rung.wait(_LOOK_AGAIN_SECONDS)
        return False

    async def give_up(self, duty: str) -> None:
        """See ports.Fleet."""
        async def give_up(transaction: Transaction) -> None:
            await transaction.run("DELETE FROM duties WHERE name = :name AND holder = :holder", {"name": duty, "holder": self._holder})
            transaction.ring(_TOPIC)

        await self._writer.write_alone(give_up)

    async def _take(self, duty: str) -> bool:
        """A store that cannot be asked is asked again; that it cannot be is said elsewhere."""
        try:
            return await self._writer.write_alone(lambda transaction: _take(transaction, duty, self._holder))
        except StoreError:
            return False


async def _take(transaction: Transaction, duty: str, holder: str) -> bool:
    parameters = {"name": duty, "holder": holder}
    rows = await transaction.fetch(
        """INSERT INTO duties (name, holder, taken_at)
        SELECT CAST(:name AS text), processes.id, CAST(extract(epoch FROM now()) * 1000000 AS bigint)
        FROM processes WHERE processes.id = :holder FOR KEY SHARE
        ON CONFLICT (name) DO UPDATE SET taken_at = duties.taken_at WHERE duties.holder = excluded.holder RETURNING name""", parameters)
    return bool(rows)
