"""Format `ifttt`: the three values that a classic Webhooks trigger takes (ifttt.com/maker_webhooks): how it stands, the picture, the
prompt. Texts always, empty where there is nothing: a null would be put into messages as a word. An event of no task gives its type
and what it says in words.
"""

from relay.delivery.formats.told import read_event
from relay.delivery.formats.words import words_for
from relay.model import Event
from relay.ports import Message
from relay.view import to_json


def ifttt_message(event: Event) -> Message:
    told = read_event(event)
    task = told.task
    if task is None:
        values = (told.type, "", "\n".join(words_for(told).facts))
    else:
        values = (task.status, next(iter(task.image_urls), ""), task.prompt or "")
    return Message(body=to_json({f"value{number}": value for number, value in enumerate(values, 1)}))
