"""Format `discord`: a message for a webhook (discord/discord-api-docs, developers/resources/webhook.mdx, "Execute Webhook", and
message.mdx, "Embed Limits").

`content` may hold 2000 characters, there may be 10 embeds, an embed's description may hold 4096 characters, all embeds together 6000.
Nobody is ever mentioned: `allowed_mentions` names nobody, and what came from elsewhere has its Markdown escaped. Discord shows a picture
if it can open it; one at a private address is a link instead.
"""

import re
from typing import Any, Final

from relay.delivery.formats.told import Told, read_event
from relay.delivery.formats.words import Words, fit, is_public, join_fitting, length, link_target, words_for
from relay.model import Event
from relay.ports import Message
from relay.view import to_json

LONGEST_CONTENT: Final = 2000
LONGEST_DESCRIPTION: Final = 4096
_LONGEST_URL: Final = 2048
_LONGEST_PROMPT: Final = 1500
_LONGEST_ERROR: Final = 600
_COLORS: Final = {True: 0x2E9E5B, False: 0xC93A3A, None: 0x5B6BC0}
_MARKDOWN: Final = re.compile(r"[\\*_~`|<>\[\]()#@]")


def discord_message(event: Event) -> Message:
    told = read_event(event)
    words = words_for(told)
    pictures = [url for url in words.image_urls if is_public(url) and length(url) <= _LONGEST_URL]
    links = [url for url in words.image_urls if url not in pictures]
    first = {**_embed(told, words, links), **({"image": {"url": pictures[0]}} if pictures else {})}
    return Message(body=to_json({
        "content": fit(" · ".join([words.title, *words.facts]), LONGEST_CONTENT, _escape),
        "embeds": [first, *({"image": {"url": url}} for url in pictures[1:])],
        "allowed_mentions": {"parse": []},
    }))


def _embed(told: Told, words: Words, links: list[str]) -> dict[str, Any]:
    lines = [
        fit(words.error, _LONGEST_ERROR, _escape),
        fit(words.prompt, _LONGEST_PROMPT, _escape),
        *(f"<{target}>" for url in links if (target := link_target(url))),
    ]
    description = join_fitting(lines, LONGEST_DESCRIPTION)
    return {"title": words.title, "color": _COLORS[words.is_good], "timestamp": told.timestamp,
            **({"description": description} if description else {})}


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", text)
