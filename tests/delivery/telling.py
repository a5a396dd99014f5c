"""Events of every type, in every format, without sending them."""

import json
from typing import Any, Final

from relay.delivery.formats import Formatter
from relay.ids import new_id
from relay.model import ErrorCode, Event, EventType, Image, Task, TaskError, TaskStatus
from relay.view import ping_event, task_event
from relay.web.samples import sample_event
from tests.delivery.made import ACCOUNT, NOW, link, make_task

FORMATTER: Final = Formatter({})
URL: Final = "https://cdn.example.com/1.png"
HOSTILE: Final = {
    "quotes": '"; DROP TABLE \\ \' </script> \\u0022 {"a": 1}',
    "many lines": "one\r\ntwo\n\nthree\u2028four\tfive\x1b[31m",
    "other scripts": "灯台 مَنَارَة маяк 👩‍🎨🏳️‍🌈 \u202eevil",
    "mentions": "@everyone @here <@1234> <@&99> <#5> <!channel> <!here|x> <!subteam^S1> <https://evil.example|click>",
    "markdown": "*b* _i_ ~s~ `c` ```x``` ||spoiler|| [click](https://evil.example) # title > quote",
    "placeholders": "{{ id }} {{{ data }}} }} {{",
    "very long": "lighthouse & <sea> " * 5300,
    "long without a space": "<" * 100_000,
    "long beyond the basic plane": "👻" * 50_000,
    "only controls": "\n\r\t\x7f",
    "nothing": "",
}


def succeeded(*urls: str, **fields: Any) -> Event:
    """A task that ended well, its pictures at these addresses."""
    images = tuple(Image(id=new_id("img"), source_url=url) for url in urls)
    return tell(EventType.TASK_SUCCEEDED, make_task(images=images, **fields))


def failed(message: str = "The prompt was refused.", **fields: Any) -> Event:
    error = TaskError(code=ErrorCode.MODERATED, message=message, provider_code="4001")
    return tell(EventType.TASK_FAILED, make_task(status=TaskStatus.FAILED, error=error, **fields))


def tell(kind: EventType, task: Task) -> Event:
    return task_event(new_id("evt"), kind, task, link, NOW)


def ping() -> Event:
    return ping_event(new_id("evt"), ACCOUNT, "sub_1", NOW)


def sample(kind: EventType) -> Event:
    return sample_event(kind, new_id("evt"), ACCOUNT, link, NOW)


def told(name: str, event: Event, template: Any = None) -> dict[str, Any]:
    """The body that a subscriber of this format receives, read."""
    body = json.loads(FORMATTER.format(name, event, template=template).body)
    assert isinstance(body, dict)
    return body
