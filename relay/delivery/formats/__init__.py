"""What a subscriber receives: one module for each format, each a function from an event to a Message.

A format works from what is recorded alone, so that every retry of a delivery sends the same body.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from relay.delivery.formats.cloudevents import cloudevents_message
from relay.delivery.formats.discord import discord_message
from relay.delivery.formats.flat import flat_message
from relay.delivery.formats.ifttt import ifttt_message
from relay.delivery.formats.provider import ProviderFormat
from relay.delivery.formats.slack import slack_message
from relay.delivery.formats.standard import standard_message
from relay.delivery.formats.template import read_template, template_message
from relay.errors import Unformattable
from relay.model import Event, Task
from relay.ports import Message, Provider
from relay.ports.formats import Json

_log = logging.getLogger(__name__)

_OF_THE_EVENT: Final[dict[str, Callable[[Event], Message]]] = {
    "standard": standard_message,
    "cloudevents": cloudevents_message,
    "flat": flat_message,
    "slack": slack_message,
    "discord": discord_message,
    "ifttt": ifttt_message,
}


class Formatter:
    """All formats, by the names that subscriptions know them by: the port Formats."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._provider = ProviderFormat(providers)

    @property
    def names(self) -> tuple[str, ...]:
        return (*_OF_THE_EVENT, "provider", "template")

    def format(self, name: str, event: Event, *, task: Task | None = None, template: Json = None) -> Message:
        """See ports.Formats. The words of Unformattable are for the owner of the subscription; of a fault of ours the traceback is
        for the log."""
        try:
            return self._make(name, event, task, template)
        except Unformattable:
            raise
        except Exception as exc:
            _log.exception("event %s could not be put into the format %r", event.id, name)
            raise Unformattable(f"the event could not be put into the format {name!r}") from exc

    def read_template(self, template: Json) -> Json:
        """See ports.Formats."""
        return read_template(template)

    def _make(self, name: str, event: Event, task: Task | None, template: Json) -> Message:
        if not event.body:
            raise Unformattable("what this event said was erased with its task")
        if name == "provider":
            return self._provider(event, task)
        if name == "template":
            return template_message(event, template)
        make = _OF_THE_EVENT.get(name)
        if make is None:
            raise Unformattable(f"there is no format {name!r} here")
        return make(event)
