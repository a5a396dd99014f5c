"""What the web and the drop-ins ask about tasks."""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from relay.model import Task, Verdict
from relay.ports.access import Caller
from relay.ports.provider import CallbackTarget, TaskRequest, WatchRequest


class Errand(Struct, frozen=True, kw_only=True):
    """How a drop-in was asked for a task: in whose place it stands, and what is to be remembered (see ports.call)."""

    dropin: str
    fingerprint: str
    native: dict[str, Any] = {}


class Submitted(Struct, frozen=True, kw_only=True):
    """`created` is False where an Idempotency-Key repeats: then it is the task of the first time. `callback_signing_secret`
    is shown this once. `target` is where the caller's app is to have a watched task called back."""

    task: Task
    created: bool
    callback_signing_secret: str | None = None
    target: CallbackTarget | None = None


class Received(Struct, frozen=True):
    """A callback that is recorded: whose it was, and what became of it."""

    task_id: str
    verdict: Verdict


class Tasks(Protocol):
    """The inbound half, as the outside sees it. A task of another account is NotFound."""

    async def submit(self, caller: Caller, request: TaskRequest, *, idempotency_key: str | None = None,
                     fingerprint: str = "", errand: Errand | None = None) -> Submitted:
        """Record the task durably; it is sent in the background, within the provider's limits. `fingerprint` tells whether a
        repeated key comes with the same body (a hash of it). `errand`: a drop-in asks; then its `callback_url` is told in the
        words of the drop-in's provider. Raises RequestError; a refused request keeps no key."""
        ...

    async def watch(self, caller: Caller, request: WatchRequest) -> Submitted:
        """Record a task that the caller's app submits itself. Raises RequestError."""
        ...

    async def wait(self, account_id: str, task_id: str, seconds: float) -> Task:
        """The task as soon as it is final, or as it stands after `seconds` or when the process stops. Raises NotFound."""
        ...

    async def cancel(self, account_id: str, task_id: str) -> Task:
        """Stop waiting: `failed`, `cancelled`. Raises NotFound; Conflict if it ended already."""
        ...

    async def refresh(self, account_id: str, task_id: str) -> Task:
        """Ask the provider now. A final task is given back as it stands. Raises NotFound, Conflict (nothing to ask with yet),
        ProviderError (it did not answer)."""
        ...

    async def erase(self, account_id: str, task_id: str) -> None:
        """Forget prompt, bodies and pictures; counts stay. A task that is not final is cancelled first. Raises NotFound."""
        ...

    async def receive(self, provider: str, token: str, headers: Mapping[str, str], body: bytes) -> Received:
        """Take a callback. On return it is recorded durably. Header names are lower case. Raises Unauthorized (bad token or
        secret: nothing is stored), StoreError."""
        ...
