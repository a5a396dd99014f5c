"""Calls: what is remembered of a request by which an app had a task made through a drop-in, so that its repeat is not paid twice.

A call is attended while its caller waits for the answer. It ends taken (the answer was sent while the connection stood) or left (the
connection was lost, the time was over, the process died). The same request again takes the place of a caller that left.
"""

from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from relay.model import Task


class Call(Struct, frozen=True, kw_only=True):
    """`fingerprint`: what makes another request the same; `native`: what of the request is needed for faithful answers."""

    task_id: str
    fingerprint: str
    native: dict[str, Any] = {}


class Called(Struct, frozen=True, kw_only=True):
    """A task that was made through a drop-in, and the call that made it."""

    task: Task
    call: Call


class Repeat(Struct, frozen=True, kw_only=True):
    """A request that may be one that came before. `left_since`: the earliest moment at which the caller of that may have been seen last.
    `count`: how often its client says that it sent it already, 0 if it says nothing; then it may have missed an answer that was sent
    between `taken_since` and `came_at`, the moment at which this request came."""

    fingerprint: str
    left_since: datetime
    count: int = 0
    taken_since: datetime
    came_at: datetime


class Calls(Protocol):
    """The part of the store that keeps them. `add_task` records a call together with its task, attended."""

    async def called(self, task_id: str) -> Called | None:
        """Whatever its account."""
        ...

    async def rejoin(self, repeat: Repeat, *, now: datetime) -> Task | None:
        """Take the place of a caller that is gone: of the calls with this fingerprint the one that was left first, but not before
        `left_since`, is attended again, and its task given; nobody else gets it. If none was left, the one that was taken last, between
        `taken_since` and `came_at`, and rejoined less than `count` times. None if there is neither."""
        ...

    async def is_attended(self, fingerprint: str) -> bool:
        """Whether the caller of such a call waits for its answer."""
        ...

    async def leave(self, task_id: str, *, taken: bool, now: datetime) -> None:
        """The caller that attended has its answer, or is gone. Rings `call:FINGERPRINT`. Nothing happens to a call that nobody attends."""
        ...
