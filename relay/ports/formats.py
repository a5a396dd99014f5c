"""What the HTTP side asks of the outbound half: what a subscriber would receive, without sending it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from relay.model import Event, Task
from relay.ports.provider import Message
from relay.ports.store import Job

Json: TypeAlias = Any
"""Whatever JSON can be."""


class Formats(Protocol):
    """Every shape in which an event can be told."""

    def format(self, name: str, event: Event, *, task: Task | None = None, template: Json = None) -> Message:
        """The event in the format of this name. `task`: the one that the event tells of, as it stands; `template`: as `read_template`
        gave it. Raises Unformattable, and nothing else."""
        ...

    def read_template(self, template: Json) -> Json:
        """A template as it is to be kept. Raises ValueError, in words that follow on the name of the field."""
        ...


class Outgoing(Protocol):
    """What goes over the wire."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


class Prepare(Protocol):
    """The next attempt of a delivery, ready to be sent as if it were `now`. Raises Unformattable."""

    def __call__(self, job: Job, now: datetime) -> Outgoing: ...
