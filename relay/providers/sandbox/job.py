"""Jobs: what was submitted, and how it stands."""

import asyncio
from collections import Counter, OrderedDict
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from relay.providers.sandbox.faults import Faults
from relay.providers.sandbox.picture import Drawing

_MOST: Final = 10_000
_WEIGHT: Final = 64 * 1024 * 1024
_OWN_WEIGHT: Final = 2_000
_MOST_RUNNING: Final = 5_000


class State(StrEnum):
    RUNNING = "running"
    DONE = "done"
    MODERATED = "moderated"
    FAILED = "failed"


class Job(Struct, kw_only=True, eq=False):
    """One submission. It alone changes: once, from running to its end. `started` and `duration` in seconds of the event loop's
    clock; `order` is what the client sent, without what is large."""

    id: str
    key: str
    prompt: str
    seed: int
    faults: Faults
    drawings: tuple[Drawing, ...]
    order: dict[str, Any]
    created_at: datetime
    started: float
    duration: float
    state: State = State.RUNNING
    ended_at: datetime | None = None

    @property
    def percentage(self) -> int:
        """How far it is, 0 to 100; 100 only at the end."""
        if self.state is not State.RUNNING:
            return 100
        elapsed = asyncio.get_running_loop().time() - self.started
        return min(99, int(100 * elapsed / self.duration)) if self.duration else 99


class Jobs:
    """The latest jobs: at most 10,000, and at most about 64 MiB of prompts."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._weight = 0
        self._running: Counter[str] = Counter()
        self._running_weight = 0

    def add(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._weight += _weigh(job)
        self._running[job.key] += 1
        self._running_weight += _weigh(job)
        while len(self._jobs) > _MOST or (self._weight > _WEIGHT and len(self._jobs) > 1):
            _, oldest = self._jobs.popitem(last=False)
            self._weight -= _weigh(oldest)

    def end(self, job: Job, state: State, ended_at: datetime) -> None:
        job.state, job.ended_at = state, ended_at
        self.leave(job)

    def leave(self, job: Job) -> None:
        """It runs no more."""
        self._running_weight -= _weigh(job)
        self._running[job.key] -= 1
        self._running += Counter()  # drops keys that have nothing running

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    @property
    def is_full(self) -> bool:
        """Whether so much is running that no more should be started: 5,000 jobs, or about 64 MiB of prompts."""
        return self._running.total() >= _MOST_RUNNING or self._running_weight >= _WEIGHT

    def running(self, key: str) -> int:
        return self._running[key]


def _weigh(job: Job) -> int:
    """Bytes, roughly; the prompt may take four a character, and stands in the order too."""
    return _OWN_WEIGHT + 4 * len(job.prompt)
