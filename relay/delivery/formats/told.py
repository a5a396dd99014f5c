"""What an event says, read back from its frozen body."""

from typing import Any

import msgspec
from msgspec import Struct

from relay.model import Event


class Failure(Struct, frozen=True):
    """Why a task failed."""

    code: str
    message: str


class Picture(Struct, frozen=True):
    """A picture; only where it opens matters here."""

    url: str | None = None


class Task(Struct, frozen=True, kw_only=True):
    """As much of a task as the formats tell of."""

    id: str
    provider: str
    status: str
    model: str | None = None
    progress: int | None = None
    prompt: str | None = None
    images: list[Picture] = []
    error: Failure | None = None
    metadata: dict[str, Any] = {}

    @property
    def image_urls(self) -> list[str]:
        """Where its pictures opened when the event was made, in order."""
        return [image.url for image in self.images if image.url]


class Told(Struct, frozen=True, kw_only=True):
    """An event. `timestamp` as it is written in the body."""

    id: str
    type: str
    timestamp: str
    data: dict[str, Any]

    @property
    def task(self) -> Task | None:
        """None where the event speaks of something else."""
        return msgspec.convert(self.data["task"], Task) if "task" in self.data else None


_decoder = msgspec.json.Decoder(Told)


def read_event(event: Event) -> Told:
    return _decoder.decode(event.body)
