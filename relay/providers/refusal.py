"""The ways in which a provider says no, before its own words are put to them: for stand-ins, and for Relay in a provider's place."""

from enum import StrEnum

from relay.errors import FieldProblem
from relay.model import TaskError


class Why(StrEnum):
    """A closed set: each provider maps every one to a status and a body of its own.

    The last five are said by Relay only: there is no such task; the request contradicts an earlier one; nothing can be taken at the
    moment; the answer took longer than the connection may be held; the request may have reached whoever makes the picture, and
    nothing more is known of it.
    """

    KEY = "key"
    CREDITS = "credits"
    RATE = "rate"
    FIELDS = "fields"
    BODY = "body"
    MEDIA = "media"
    LARGE = "large"
    LATE = "late"
    PATH = "path"
    METHOD = "method"
    MODERATED = "moderated"
    FAILED = "failed"
    BROKEN = "broken"
    MISSING = "missing"
    CONFLICT = "conflict"
    BUSY = "busy"
    OVERRUN = "overrun"
    UNKNOWN = "unknown"


class Refused(Exception):
    """The request is answered no. `problems` names the fields where it is about fields. `task_id` and `error`: the task that was made
    and cannot be given, and why it failed, if it did. `retry_after` in seconds; `is_lasting`: asking again brings nothing before the
    operator acts."""

    def __init__(self, why: Why, message: str, problems: list[FieldProblem] | None = None, *, retry_after: int | None = None,
                 task_id: str | None = None, error: TaskError | None = None, is_lasting: bool = False) -> None:
        self.why = why
        self.message = message
        self.problems = problems or []
        self.retry_after = retry_after
        self.task_id = task_id
        self.error = error
        self.is_lasting = is_lasting
        super().__init__(message)
