"""What a subscriber receives: one module for each format, each a function from a delivery that is due to a Message.

A format works from what is recorded alone, so that every retry of a delivery sends the same body.
"""

import logging
from collections.abc import Callable, Mapping

from relay.delivery.formats.provider import ProviderFormat
from relay.delivery.formats.standard import standard_message
from relay.errors import RelayError
from relay.ports import Job, Message, Provider

_log = logging.getLogger(__name__)


class Unformattable(RelayError):
    """The event could not be put into the format of the subscription."""


class Formatter:
    """All formats, by the names that subscriptions know them by."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._formats: dict[str, Callable[[Job], Message]] = {
            "standard": standard_message,
            "provider": ProviderFormat(providers),
        }

    def format_job(self, job: Job) -> Message:
        """Raises Unformattable, and nothing else: its words are for the owner of the subscription, the traceback is for the log."""
        name = job.subscription.format
        make = self._formats.get(name)
        if make is None:
            raise Unformattable(f"there is no format {name!r} here")
        try:
            return make(job)
        except Exception as exc:
            _log.exception("event %s could not be put into the format %r", job.event.id, name)
            raise Unformattable(f"the event could not be put into the format {name!r}") from exc
