"""Format `provider`: the task as its provider would have told it, so that a handler written for the provider's callbacks goes on
working. An event that speaks of no task has no such shape and is told in the standard one.

The links are those of the event, where it was told; they open for longer than the retries last.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from relay.delivery.formats.standard import standard_message
from relay.ports import Job, Message, Provider


class _Image(Struct):
    url: str | None = None


class _Task(Struct):
    images: list[_Image] = []


class _Data(Struct):
    task: _Task


class _Body(Struct):
    data: _Data


_decoder = msgspec.json.Decoder(_Body)


class ProviderFormat:
    """Asks the provider of each task."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def __call__(self, job: Job) -> Message:
        provider = self._providers.get(job.task.provider) if job.task else None
        if job.task is None or provider is None or not job.event.type.startswith("task."):
            return standard_message(job)
        body = _decoder.decode(job.event.body)
        return provider.callback_for(job.task, [image.url for image in body.data.task.images if image.url])
