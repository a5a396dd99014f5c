"""Previews: what a subscriber would receive, told to nobody."""

import json
from typing import Any, get_args

import httpx
import pytest
from standardwebhooks import Webhook

from relay import __version__
from relay.model import EventType
from relay.web.template import Format
from tests.web.conftest import House, named_fields, problem, read_json
from tests.web.subscribing import PATH

pytestmark = pytest.mark.anyio

TEMPLATE = {"text": "{{ type }}: {{ data.task.prompt }}", "picture": "{{ image_url }}", "nothing": "{{ no.such.thing }}"}


async def preview(api: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    return read_json(await api.post(f"{PATH}/preview", json=wish), 200)


async def test_a_template_is_filled_in_with_a_sample(api: httpx.AsyncClient) -> None:
    shown = await preview(api, format="template", template=TEMPLATE)

    assert json.loads(shown["body"]) == {
        "text": "task.succeeded: a lighthouse at dusk", "picture": "https://cdn.example.com/lighthouse.png", "nothing": None}


@pytest.mark.parametrize("kind", ["task.succeeded", "task.failed", "ping"])
@pytest.mark.parametrize("form", get_args(Format))
async def test_every_format_is_shown_as_it_is_sent_and_can_be_verified(api: httpx.AsyncClient, form: str, kind: str) -> None:
    shown = await preview(api, format=form, type=kind, **({"template": TEMPLATE} if form == "template" else {}))

    Webhook(shown["secret"]).verify(shown["body"], shown["headers"])
    assert set(shown["headers"]) == {
        "content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature", "webhook-attempt"}
    assert shown["headers"]["content-type"] == ("application/cloudevents+json" if form == "cloudevents" else "application/json")
    assert (shown["headers"]["user-agent"], shown["headers"]["webhook-attempt"]) == (f"relay/{__version__}", "1")


async def test_the_format_of_the_provider_is_that_of_the_samples_provider(api: httpx.AsyncClient) -> None:
    body = json.loads((await preview(api, format="provider"))["body"])

    assert (body["task_id"], body["image_url"]) == ("29e983ca-7e86-4017-a9e3-ef6fe9cd5f2a", "https://cdn.example.com/lighthouse.png")


async def test_without_a_wish_it_is_what_a_plain_subscription_gets(api: httpx.AsyncClient) -> None:
    body = json.loads((await preview(api))["body"])

    assert (body["type"], body["data"]["task"]["prompt"]) == ("task.succeeded", "a lighthouse at dusk")


async def test_nobody_is_told_and_nothing_is_kept(api: httpx.AsyncClient) -> None:
    await preview(api, format="slack")

    assert read_json(await api.get("/api/v1/events"), 200)["data"] == []
    assert read_json(await api.get(PATH), 200)["data"] == []


@pytest.mark.parametrize(("wish", "field"), [
    ({"format": "xml"}, "format"), ({"format": None}, "format"), ({"format": "template"}, "template"), ({"type": "task.*"}, "type"),
    ({"template": TEMPLATE}, "template"), ({"format": "template", "template": "{{ id }}"}, "template"),
    ({"format": "template", "template": {"a": "{{ id"}}, "template"), ({"format": "template", "template": {"a": "x" * 20_000}}, "template"),
    ({"url": "https://example.com"}, "url"),
], ids=lambda value: str(value)[:40])
async def test_what_cannot_be_shown_is_refused_by_name(api: httpx.AsyncClient, wish: dict[str, Any], field: str) -> None:
    assert named_fields(await api.post(f"{PATH}/preview", json=wish)) == {field}


async def test_a_body_that_would_be_too_large_is_refused_in_words(api: httpx.AsyncClient) -> None:
    answer = await api.post(f"{PATH}/preview", json={"format": "template", "template": ["{{data}}" * 2000]})

    assert named_fields(answer) == {"template"}
    assert "would have more than 1048576 bytes" in answer.json()["detail"]


async def test_reading_is_not_enough(house: House) -> None:
    reader = await house.with_key("read")

    problem(await reader.post(f"{PATH}/preview", json={"format": "flat"}), 403, "forbidden")
    problem(await house.stranger.post(f"{PATH}/preview", json={"format": "flat"}), 401, "unauthorized")


@pytest.mark.parametrize("kind", list(EventType))
async def test_every_type_has_a_preview(api: httpx.AsyncClient, kind: str) -> None:
    assert json.loads((await preview(api, format="flat", type=kind))["body"])["type"] == kind
