"""An event in words for people: what chat messages are made of.

Whatever comes from callers and providers is cut to a length and put on one line here; escaping it is the affair of each format,
since each chat has control characters of its own. Lengths are counted in UTF-16 units: services differ in how they count, and no
common way of counting gives more.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from relay.delivery.formats.flat import flatten
from relay.delivery.formats.told import Task, Told
from relay.net.guard import Policy, problem_with_url

MOST_PICTURES: Final = 10
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_WEB: Final = re.compile(r"https?://[^\s/?#]")
_ELLIPSIS: Final = "…"
_NOT_PUBLIC: Final = frozenset({"arpa", "example", "home", "internal", "invalid", "lan", "local", "localhost", "test"})
_LONGEST_FACT: Final = 300
_MOST_FACTS: Final = 8
_NOBODY: Final = Policy()


class Words(Struct, frozen=True, kw_only=True):
    """`title`: a few words that are ours. `facts`: whom and what it is about, a line each. `is_good`: None where it is neither."""

    title: str
    facts: list[str]
    prompt: str = ""
    error: str = ""
    image_urls: list[str] = []
    is_good: bool | None = None


def words_for(told: Told) -> Words:
    title = told.type.replace(".", " ").replace("_", " ").capitalize()
    task = told.task
    if task is None:
        facts = [f"{name.replace('_', ' ')}: {one_line(value)}" for name, value in flatten(told.data) if value not in (None, "")]
        return Words(title=title, facts=_short(facts), is_good=_GOOD.get(told.type))
    return Words(
        title=title, facts=_short(_about(task)), prompt=one_line(task.prompt or ""),
        error=one_line(f"{task.error.code}: {task.error.message}") if task.error else "",
        image_urls=task.image_urls[:MOST_PICTURES], is_good=_GOOD.get(told.type),
    )


def one_line(value: object) -> str:
    return _CONTROL.sub(" ", str(value)).strip()


def length(text: str) -> int:
    """In UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def fit(text: str, limit: int, escape: Callable[[str], str]) -> str:
    """The text, escaped; cut before that so that no escape is torn and all of it is at most `limit` long. `escape` makes no text
    shorter, and turns each character by itself."""
    if len(text) <= limit and length(escaped := escape(text)) <= limit:
        return escaped
    made, left = [], limit - len(_ELLIPSIS)
    for character in text[:limit]:
        piece = escape(character)
        left -= length(piece)
        if left < 0:
            break
        made.append(piece)
    return "".join(made) + _ELLIPSIS


def join_fitting(lines: Iterable[str], limit: int) -> str:
    """The lines that are not empty; one that would make all of it longer than `limit` is left out, since half a link is none."""
    text = ""
    for line in lines:
        longer = f"{text}\n{line}" if text else line
        if line and length(longer) <= limit:
            text = longer
    return text


def is_public(url: str) -> bool:
    """Whether a service elsewhere can be expected to open it: https, and neither a private address nor a name that only
    some network knows."""
    if not url.startswith("https://") or problem_with_url(url, _NOBODY):
        return False
    host = (urlsplit(url).hostname or "").rstrip(".")
    return ":" in host or ("." in host and host.rpartition(".")[2] not in _NOT_PUBLIC)


def link_target(url: str) -> str:
    """The URL without what would end it inside a chat message; empty if it is no web address."""
    if not _WEB.match(url):
        return ""
    return re.sub(r"[<>|\s\x00-\x1f]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), url)


def _about(task: Task) -> list[str]:
    progress = [f"{task.progress} %"] if task.progress is not None and task.status == "processing" else []
    return [*progress, *(one_line(name) for name in (task.provider, task.model, task.id) if name)]


def _short(facts: list[str]) -> list[str]:
    return [fit(fact, _LONGEST_FACT, str) for fact in facts[:_MOST_FACTS]]


_GOOD: Final = {"task.succeeded": True, "subscription.recovered": True, "task.failed": False, "subscription.disabled": False,
                "delivery.failing": False, "provider.credits_low": False}
