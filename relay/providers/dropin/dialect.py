"""What a drop-in's machinery asks of a dialect: which paths it answers, how a request is read, and how everything is worded.

A dialect is the provider's wire format, served: it reads an app's own request into an Order and renders a Task, or a refusal, as the
provider would. It keeps nothing and reaches nothing but what its Visit gives it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from starlette.responses import Response

from relay.model import Scope
from relay.providers.dropin.visit import Visit
from relay.providers.refusal import Refused

Handler = Callable[[Visit], Awaitable[Response]]


class Endpoint(NamedTuple):
    """One method of one path of the provider's document, below the base URL; `{model}` stands for one segment, see `Visit.path`.
    `needs`: what the key must allow before `handle` is called. None: `Visit.find` asks for it, unless the URL is a capability."""

    method: str
    path: str
    handle: Handler
    needs: Scope | None = Scope.SUBMIT


class Dialect(Protocol):
    """One provider's wire format, served. `names`: normalized field -> what the app calls it (in the problems of a Refused)."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> Mapping[str, str]: ...

    def endpoints(self) -> Sequence[Endpoint]: ...

    def refuse(self, refused: Refused) -> Response:
        """Every kind of Why in the provider's words. `x-relay-task-id`, `x-should-retry` and `retry-after` are added by the machinery."""
        ...
