"""Which subscription hears of which event: pure, so that every store decides alike.

A pattern is a glob over event types in which only `*` is special. Metadata is compared as text, because a filter in a query
string or a form has nothing else: a string is its own text, any other value the text of its JSON (`true`, `17`, `null`).
"""

from typing import Any

from relay.model import Event, Subscription
from relay.view import to_json


def matches(subscription: Subscription, event: Event) -> bool:
    """Whether `subscription` is to hear of `event`. Status and deletion are not looked at."""
    return wants(subscription, event.type) and accepts(subscription, event)


def wants(subscription: Subscription, event_type: str) -> bool:
    """Whether one of its patterns covers the type."""
    return any(glob(pattern, event_type) for pattern in subscription.events)


def accepts(subscription: Subscription, event: Event) -> bool:
    """Whether everything but the type fits: the task or subscription that it is for, the provider and the metadata; and it does not
    speak of this very subscription."""
    if event.subscription_id not in (None, subscription.id) or event.about_id == subscription.id:
        return False
    if subscription.task_id not in (None, event.task_id):
        return False
    if subscription.providers is not None and event.provider not in subscription.providers:
        return False
    if not subscription.metadata:
        return True
    return all(key in event.metadata and as_text(event.metadata[key]) == as_text(value) for key, value in subscription.metadata.items())


def as_text(value: Any) -> str:  # noqa: ANN401 -- a metadata value is any JSON
    """The text by which a metadata value is compared."""
    return value if isinstance(value, str) else to_json(value).decode()


def glob(pattern: str, text: str) -> bool:
    """Whether `pattern` covers the whole of `text`. Linear: no pattern, however odd, makes it slow."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end
