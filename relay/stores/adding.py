"""New tasks, told from those that were made before under the same idempotency key: pure, so that every store decides alike."""

from datetime import datetime

from msgspec import Struct

from relay.errors import Conflict, RequestError
from relay.model import Subscription, Task, TaskStatus
from relay.ports.call import Call
from relay.ports.store import Idempotency


class New(Struct, frozen=True):
    """A task to be recorded, with all that comes with it."""

    task: Task
    due_at: datetime | None
    callback: Subscription | None
    idempotency: Idempotency | None
    call: Call | None

    @property
    def looked_at(self) -> datetime | None:
        """When it is due: a watched task by its deadline at the latest."""
        if self.task.status.is_final:
            return None
        if self.task.status is TaskStatus.QUEUED:
            return self.due_at
        return min((at for at in (self.due_at, self.task.deadline_at) if at), default=None)


Known = dict[tuple[str, str], tuple[str, Task]]
"""Account and idempotency key -> the fingerprint and the task of the first time."""


def outcome(new: New, known: Known, added: list[New]) -> tuple[Task, bool] | RequestError:
    """Adds to `known` and `added`, so that the next one in the batch sees it."""
    if new.idempotency is not None:
        place = (new.task.account_id, new.idempotency.key)
        fingerprint, first = known.setdefault(place, (new.idempotency.fingerprint, new.task))
        if fingerprint != new.idempotency.fingerprint:
            return Conflict("this Idempotency-Key was used with another body")
        if first is not new.task:
            return first, False
    added.append(new)
    return new.task, True
