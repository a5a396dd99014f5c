"""Format `cloudevents`: CloudEvents 1.0 in the structured mode of its HTTP binding (github.com/cloudevents/spec, json-format.md).

`source` and `id` together are what consumers tell repetitions by, so `source` is made of what is recorded, the account, and not of
an address that may change between two attempts. `subject` is the task; an event of something else has none. There are no
extensions. The content type bears no charset: JSON is UTF-8, and some readers compare it as a whole.
"""

from typing import Final

from relay.delivery.formats.told import read_event
from relay.model import Event
from relay.ports import Message
from relay.view import to_json

CONTENT_TYPE: Final = "application/cloudevents+json"


def cloudevents_message(event: Event) -> Message:
    told = read_event(event)
    subject = {"subject": told.task.id} if told.task else {}
    envelope = {
        "specversion": "1.0", "id": told.id, "source": f"urn:relay:{event.account_id}", "type": told.type, **subject,
        "time": told.timestamp, "datacontenttype": "application/json", "data": told.data,
    }
    return Message(body=to_json(envelope), content_type=CONTENT_TYPE)
