"""Subscriptions in other formats than the standard one: asked for, altered, sent, sampled."""

import json
from typing import Any

import httpx
import pytest

from relay.model import EventType
from tests.delivery.receiver import Receiver
from tests.web.conftest import House, named_fields, read_json
from tests.web.subscribing import PATH, URL, subscribe, succeeded

pytestmark = pytest.mark.anyio

TEMPLATE = {"text": "{{ type }}: {{ data.task.prompt }}", "picture": "{{ image_url }}"}


def wish_for(form: str) -> dict[str, Any]:
    return {"format": form, **({"template": TEMPLATE} if form == "template" else {})}


async def alter(api: httpx.AsyncClient, subscription: dict[str, Any], **changes: Any) -> httpx.Response:
    return await api.patch(f"{PATH}/{subscription['id']}", json=changes)


class TestAskingForATemplate:
    """It goes with the format `template`, and that format with it."""

    @pytest.mark.parametrize("wish", [
        {"template": TEMPLATE}, {"format": "flat", "template": TEMPLATE}, {"format": "template"}, {"format": "template", "template": 5},
        {"format": "template", "template": {"a": "{{ x"}}, {"format": "template", "template": {"a": "{{ f(x) }}"}},
        {"format": "template", "template": {"a": "x" * 17_000}}, {"format": "template", "template": None},
    ], ids=lambda value: str(value)[:40])
    async def test_what_does_not_go_together_is_refused(self, api: httpx.AsyncClient, wish: dict[str, Any]) -> None:
        assert named_fields(await api.post(PATH, json={"url": URL, **wish})) == {"template"}

    async def test_a_text_of_json_is_kept_as_what_it_holds(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api, format="template", template=json.dumps(TEMPLATE))

        assert read_json(await api.get(f"{PATH}/{made['id']}"), 200)["template"] == TEMPLATE

    async def test_it_can_be_altered(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api, **wish_for("template"))

        assert read_json(await alter(api, made, template=["{{ id }}"]), 200)["template"] == ["{{ id }}"]
        assert read_json(await alter(api, made, description="mine"), 200)["template"] == ["{{ id }}"]
        assert read_json(await api.get(f"{PATH}/{made['id']}"), 200)["template"] == ["{{ id }}"]

    async def test_another_format_ends_it(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api, **wish_for("template"))

        altered = read_json(await alter(api, made, format="slack"), 200)

        assert (altered["format"], altered["template"]) == ("slack", None)

    @pytest.mark.parametrize(("form", "changes"), [
        ("standard", {"template": TEMPLATE}), ("standard", {"format": "template"}), ("template", {"template": None}),
        ("template", {"template": {"a": "{{ }}"}}), ("template", {"format": "flat", "template": TEMPLATE}),
    ], ids=str)
    async def test_altering_keeps_them_together(self, api: httpx.AsyncClient, form: str, changes: dict[str, Any]) -> None:
        made = await subscribe(api, **wish_for(form))

        assert named_fields(await alter(api, made, **changes)) == {"template"}


class TestFlatSamples:
    """`?format=flat`: for platforms whose users pick fields from a sample."""

    async def test_they_are_exactly_what_a_subscriber_received(self, house: House) -> None:
        async with Receiver() as receiver:
            await subscribe(house.api, url=receiver.url, format="flat")
            await succeeded(house, metadata={"order": "A-17"})
            [request] = await receiver.wait_for_requests(1)

        answer = await house.api.get("/api/v1/events/samples", params={"format": "flat"})

        assert answer.content == b"[" + request.body + b"]"
        assert answer.json()[0]["metadata_order"] == "A-17"

    async def test_made_up_ones_have_the_same_names(self, house: House) -> None:
        made_up = await flat_samples(house.api)
        await succeeded(house, metadata={"order": "A-18"})
        real = await flat_samples(house.api)

        assert len(made_up) == 3
        assert list(made_up[0]) == list(real[0])

    @pytest.mark.parametrize("kind", list(EventType))
    async def test_there_are_some_of_every_type(self, api: httpx.AsyncClient, kind: str) -> None:
        assert [one["type"] for one in await flat_samples(api, type=kind, limit=1)] == [kind]

    async def test_other_formats_have_none(self, api: httpx.AsyncClient) -> None:
        assert named_fields(await api.get("/api/v1/events/samples", params={"format": "slack"})) == {"format"}


async def flat_samples(api: httpx.AsyncClient, **which: Any) -> list[dict[str, Any]]:
    answer = await api.get("/api/v1/events/samples", params={"format": "flat", **which})
    assert answer.status_code == 200, answer.text
    return list(answer.json())
