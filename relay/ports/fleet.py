"""The processes that share one store, as each of them sees the others."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Role(StrEnum):
    """What a process is for: to be asked and called back (`api`), to do the work (`worker`), or both."""

    ALL = "all"
    API = "api"
    WORKER = "worker"


class Fleet(Protocol):
    """Those processes. One that is taken for dead while it lives must stop: `run` raises then."""

    def now(self) -> datetime:
        """The time that all of them go by."""
        ...

    async def run(self, resting: asyncio.Event) -> None:
        """Be seen alive by the others and look after them, until `resting`: no sooner than all work of this process has ended."""
        ...

    async def take_on(self, duty: str, stopping: asyncio.Event) -> bool:
        """Once nobody else has this duty: True, and it is this process's until it gives it up or ends. False: `stopping` came first."""
        ...

    async def give_up(self, duty: str) -> None:
        """Another may take it on now. Raises StoreError; then others have to wait until this process ends."""
        ...


class Alone:
    """The fleet of one, where a store has a single process, which goes by its own clock."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.now = clock

    async def run(self, resting: asyncio.Event) -> None:
        await resting.wait()

    async def take_on(self, duty: str, stopping: asyncio.Event) -> bool:  # noqa: ARG002 -- there is nobody to share duties with
        return not stopping.is_set()

    async def give_up(self, duty: str) -> None: ...
