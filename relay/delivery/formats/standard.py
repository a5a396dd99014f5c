"""Format `standard`: the event's own body, byte for byte as it was frozen."""

from relay.model import Event
from relay.ports import Message


def standard_message(event: Event) -> Message:
    return Message(body=event.body)
