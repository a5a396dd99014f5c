"""What each provider documents, as data: one module per provider, whose CASE the conformance suite goes through.

Bodies are those of the provider's own pages (or, where a comment says so, of its family), with made-up hosts.
"""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from relay.errors import Fate, RequestError
from relay.model import ErrorCode, Task, Update
from relay.ports.provider import InputImage
from tests.providers.upstream import Reply

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
"""The present of all cases."""
KEY = "key-4f9ac1d07be2"
"""The API key of all cases."""
SECRET = "secret-of-this-task"
"""What the provider was given to echo."""
CALLBACK_URL = "https://relay.example/callbacks/token"
PNG = b"\x89PNG\r\n\x1a\nnot much of a picture"


class Refused(Struct, frozen=True):
    """The ProviderError that is expected. `words` must stand in its message."""

    reason: ErrorCode
    fate: Fate
    words: str = ""


class Submission(Struct, frozen=True, kw_only=True):
    """A task and the request that must go out for it. `path` with its query."""

    id: str
    task: Task
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    image: InputImage | None = None
    method: str = "POST"
    with_callback: bool = True


class Exchange(Struct, frozen=True, kw_only=True):
    """An answer, and what it must be read as."""

    id: str
    answer: Reply
    outcome: Update | Refused


class Incoming(Struct, frozen=True, kw_only=True):
    """A callback, and what it must be read as; None: unreadable."""

    id: str
    body: Any
    outcome: Update | None


class Check(Struct, frozen=True, kw_only=True):
    """Fields of a request, and the error they must end in (None: it is good). `fields` are exactly those that the error
    names, `words` stand in its message."""

    id: str
    fields: dict[str, Any]
    error: type[RequestError] | None = None
    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Told(Struct, frozen=True, kw_only=True):
    """A task as it stands, and the body that `callback_for` must make of it."""

    id: str
    task: Task
    body: Any
    urls: tuple[str, ...] = ()


class Case(Struct, frozen=True, kw_only=True):
    """All that is documented of one provider. `task` is an accepted one, whose result is asked for with `query`, the path
    of the request (None: there is no query). `takes`: the normalized fields of each model; of `default_model` first."""

    name: str
    task: Task
    submissions: tuple[Submission, ...]
    submits: tuple[Exchange, ...]
    checks: tuple[Check, ...]
    told: tuple[Told, ...]
    takes: dict[str, set[str]]
    fetches: tuple[Exchange, ...] = ()
    callbacks: tuple[Incoming, ...] = ()
    query: str | None = None
    is_held: bool = False


def new_task(provider: str, **fields: Any) -> Task:
    """A task of the tests."""
    return Task(**{"id": "task_1", "account_id": "acc_1", "provider": provider, "prompt": "a lighthouse", "created_at": NOW, **fields})
