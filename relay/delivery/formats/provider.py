"""Format `provider`: the task as its provider would have told it, so that a handler written for the provider's callbacks goes on
working. An event that speaks of no task has no such shape and is told in the standard one.

What came by a drop-in is told as that provider would, whoever made the picture, and under the id that the app was given: Relay's.

The links are those of the event, where it was told; they open for longer than the retries last.
"""

from collections.abc import Mapping

import msgspec

from relay.delivery.formats.standard import standard_message
from relay.delivery.formats.told import read_event
from relay.model import Event, Task
from relay.ports import Message, Provider


class ProviderFormat:
    """Asks the provider of each task."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def __call__(self, event: Event, task: Task | None) -> Message:
        if task and task.dropin:
            task = msgspec.structs.replace(task, provider_task_id=task.id)
        provider = self._providers.get(task.dropin or task.provider) if task else None
        told = read_event(event).task
        if task is None or provider is None or told is None:
            return standard_message(event)
        return provider.callback_for(task, told.image_urls)
