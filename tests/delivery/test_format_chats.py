"""Events as messages in Slack and Discord: within their limits, and without a word that their readers did not write themselves."""

import html
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.delivery.formats.words import fit, is_public, length
from relay.model import Event, EventType
from tests.delivery.made import make_task
from tests.delivery.telling import HOSTILE, URL, failed, ping, sample, succeeded, tell, told

PRIVATE = ["http://cdn.example.com/1.png", "https://10.0.0.1/1.png", "https://0x7f000001/1.png", "https://localhost/1.png",
           "https://relay/1.png", "https://relay.internal/1.png", "https://nas.local./1.png", "https://[::1]/1.png",
           "https://user:pw@example.com/1.png"]


def texts(value: Any) -> list[str]:
    """Every text in it."""
    if isinstance(value, dict | list):
        return [text for part in (value.values() if isinstance(value, dict) else value) for text in texts(part)]
    return [value] if isinstance(value, str) else []


def section(event: Event) -> str:
    [text] = [block["text"]["text"] for block in told("slack", event)["blocks"] if block["type"] == "section"]
    return str(text)


def check_slack(body: dict[str, Any]) -> None:
    """What Slack refuses or reads as a command is not in it."""
    assert 1 <= length(body["text"]) <= 3000
    assert body["blocks"][0]["type"] == "section"
    assert len(body["blocks"]) <= 50
    for block in body["blocks"]:
        if block["type"] == "section":
            assert (block["text"]["type"], block["text"]["verbatim"]) == ("mrkdwn", True)
            assert 1 <= length(block["text"]["text"]) <= 3000
            check_slack_text(re.sub(r"<https?://[^<>|]+\|Picture \d+>", "", block["text"]["text"]))
        else:
            assert block["image_url"].startswith("https://")
            assert 1 <= length(block["alt_text"]) <= 2000
    check_slack_text(body["text"])


def check_slack_text(text: str) -> None:
    assert "<" not in text
    assert not re.sub(r"&(amp|lt|gt);", "", text).count("&")
    assert not [line for line in text.split("\n") if ">" in line.removeprefix(">")]


def check_discord(body: dict[str, Any]) -> None:
    """What Discord refuses is not in it."""
    assert 1 <= length(body["content"]) <= 2000
    assert body["allowed_mentions"] == {"parse": []}
    assert 1 <= len(body["embeds"]) <= 10
    assert sum(length(embed.get("title", "")) + length(embed.get("description", "")) for embed in body["embeds"]) <= 6000
    assert all(length(embed.get("title", "")) <= 256 and 1 <= length(embed.get("description", "-")) <= 4096 for embed in body["embeds"])


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_is_a_message_in_both(kind: EventType) -> None:
    slack, discord = told("slack", sample(kind)), told("discord", sample(kind))
    check_slack(slack)
    check_discord(discord)
    title = kind.value.replace(".", " ").replace("_", " ").capitalize()
    assert slack["text"].startswith(title)
    assert slack["blocks"][0]["text"]["text"].startswith(f"*{title}*")
    assert discord["embeds"][0]["title"] == title


@pytest.mark.parametrize("urls", [(), (URL,), (URL,) * 12, ("http://10.0.0.1/<!channel>|x> y",), ("https://x.example.com/" + "y" * 5000,)],
                         ids=["none", "one", "twelve", "private", "too long"])
@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE)
def test_whatever_was_asked_for_stays_within_the_limits_and_mentions_nobody(prompt: str, urls: tuple[str, ...]) -> None:
    for event in (succeeded(*urls, prompt=prompt, model=prompt[:200] or None), failed(prompt, prompt=prompt)):
        check_slack(told("slack", event))
        check_discord(told("discord", event))


@settings(deadline=None, max_examples=200)
@given(prompt=st.text(), url=st.text())
def test_any_text_at_all_stays_within_the_limits(prompt: str, url: str) -> None:
    event = succeeded("https://" + url, "http://" + url, prompt=prompt)
    check_slack(told("slack", event))
    check_discord(told("discord", event))


def test_slack_shows_the_picture_and_the_prompt() -> None:
    body = told("slack", succeeded(URL, prompt='a <lighthouse> & "sea"'))
    assert body["blocks"][1:] == [{"type": "image", "image_url": URL, "alt_text": 'a <lighthouse> & "sea"'}]
    assert '>a &lt;lighthouse&gt; &amp; "sea"' in section(succeeded(URL, prompt='a <lighthouse> & "sea"')).split("\n")
    assert body["text"] == 'Task succeeded: a &lt;lighthouse&gt; &amp; "sea"'


def test_a_failure_says_why_in_both() -> None:
    assert "moderated: no &lt;!channel&gt;" in section(failed("no <!channel>")).split("\n")
    embed = told("discord", failed("no @everyone"))["embeds"][0]
    assert embed["description"].split("\n") == [r"moderated: no \@everyone", "a lighthouse"]


@pytest.mark.parametrize("url", PRIVATE)
def test_a_picture_that_nobody_outside_can_open_is_a_link(url: str) -> None:
    assert not is_public(url)
    body = told("slack", succeeded(url, URL))
    assert [block["image_url"] for block in body["blocks"][1:]] == [URL]
    assert f"<{url}|Picture 1>" in body["blocks"][0]["text"]["text"]
    body = told("discord", succeeded(url, URL))
    assert [embed["image"]["url"] for embed in body["embeds"]] == [URL]
    assert f"<{url}>" in body["embeds"][0]["description"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:image/png;base64,AA", "ftp://example.com/1.png"])
def test_what_is_no_web_address_is_no_link(url: str) -> None:
    assert url not in "".join(texts(told("slack", succeeded(url))) + texts(told("discord", succeeded(url))))


def test_a_link_cannot_break_out_of_its_brackets() -> None:
    text = section(succeeded("http://cdn.example.com/a&b|c> <!channel>"))
    assert "<http://cdn.example.com/a&amp;b%7Cc%3E%20%3C!channel%3E|Picture 1>" in text


def test_discord_shows_the_pictures_its_colour_and_whom_it_is_about() -> None:
    task = make_task(prompt="a", model="flux-pro")
    body = told("discord", succeeded(URL, URL + "2", prompt="a"))
    assert [embed["image"]["url"] for embed in body["embeds"]] == [URL, URL + "2"]
    assert body["embeds"][0]["timestamp"] == "2026-11-20T12:00:00Z"
    colors = [told("discord", event)["embeds"][0]["color"] for event in (succeeded(), failed(), ping())]
    assert len(set(colors)) == 3
    content = told("discord", tell(EventType.TASK_SUCCEEDED, task))["content"]
    assert content == f"Task succeeded · apiframe · flux-pro · {task.id}".replace("_", r"\_")


@given(text=st.text(), limit=st.integers(1, 50))
def test_a_text_is_cut_before_it_is_escaped(text: str, limit: int) -> None:
    made = fit(text, limit, html.escape)
    assert length(made) <= limit
    assert text.startswith(html.unescape(made.removesuffix("…"))) or html.unescape(made) == text
