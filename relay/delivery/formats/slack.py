"""Format `slack`: a message for an incoming webhook (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

A section of text may hold 3000 characters, a picture's alt_text 2000, its URL 3000 (docs.slack.dev/reference/block-kit/blocks). `&`,
`<` and `>` are Slack's control characters and are escaped, so `<!channel>` in a prompt is text; `verbatim` keeps it from making links and
mentions of plain words. Slack fetches a picture before it takes the message and refuses the whole message if it cannot: a picture that
is not at a public https address is a link instead.
"""

from typing import Any, Final

from relay.delivery.formats.told import read_event
from relay.delivery.formats.words import Words, fit, is_public, join_fitting, length, link_target, words_for
from relay.model import Event
from relay.ports import Message
from relay.view import to_json

LONGEST_TEXT: Final = 3000
LONGEST_ALT_TEXT: Final = 2000
_LONGEST_URL: Final = 3000
_LONGEST_PROMPT: Final = 1500
_LONGEST_ERROR: Final = 600
_LONGEST_FACTS: Final = 800
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def slack_message(event: Event) -> Message:
    words = words_for(read_event(event))
    pictures = [url for url in words.image_urls if is_public(url) and length(url) <= _LONGEST_URL]
    links = [url for url in words.image_urls if url not in pictures]
    blocks = [_section(words, links), *(_picture(url, words) for url in pictures)]
    return Message(body=to_json({"text": _notification(words), "blocks": blocks}))


def _notification(words: Words) -> str:
    """What is shown where blocks are not."""
    said = words.error or words.prompt or ", ".join(words.facts)
    return fit(f"{words.title}: {said}" if said else words.title, LONGEST_TEXT, _escape)


def _section(words: Words, links: list[str]) -> dict[str, Any]:
    lines = [
        f"*{words.title}*",
        fit(" · ".join(words.facts), _LONGEST_FACTS, _escape),
        fit(words.error, _LONGEST_ERROR, _escape),
        f">{fit(words.prompt, _LONGEST_PROMPT, _escape)}" if words.prompt else "",
        *(f"<{_escape(target)}|Picture {number}>" for number, url in enumerate(links, 1) if (target := link_target(url))),
    ]
    return {"type": "section", "text": {"type": "mrkdwn", "text": join_fitting(lines, LONGEST_TEXT), "verbatim": True}}


def _picture(url: str, words: Words) -> dict[str, Any]:
    return {"type": "image", "image_url": url, "alt_text": fit(words.prompt or words.title, LONGEST_ALT_TEXT, str)}


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
