"""The body in every format, as it arrives; and what cannot be put into its format."""

import json
from typing import Any, get_args

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from relay.web.template import Format
from tests.delivery.conformance.trial import try_one
from tests.delivery.receiver import OK, Answer, Received, Receiver
from tests.web.conftest import House, named_fields, read_json
from tests.web.subscribing import PATH, URL, act, settled, subscribe, succeeded, verified

pytestmark = pytest.mark.anyio

PROMPT = 'a "lighthouse"\n@everyone <!channel> {{ id }}'
PICTURE = "https://images.example.com/1.png"
TEMPLATE = {"text": "{{ type }}: {{ data.task.prompt }}", "picture": "{{ image_url }}", "task": "{{ data.task.metadata }}",
            "fixed": [1, None]}
FLAT = ["id", "type", "timestamp", "task_id", "status", "provider", "model", "prompt", "image_url", "image_urls",
        "error_code", "error_message"]


def wish_for(form: str) -> dict[str, Any]:
    return {"format": form, **({"template": TEMPLATE} if form == "template" else {})}


class Arrived:
    """A task that ended well, and what a subscription of a format got of it."""

    def __init__(self, task: dict[str, Any], request: Received) -> None:
        self.task = task
        self.request = request
        self.body: dict[str, Any] = json.loads(request.body)


async def arrived(house: House, form: str) -> Arrived:
    async with Receiver() as receiver:
        subscription = await subscribe(house.api, url=receiver.url, **wish_for(form))
        task = await succeeded(house, prompt=PROMPT, metadata={"order": "A-17"})
        [request] = await receiver.wait_for_requests(1)
        verified(receiver, subscription["secret"])
    return Arrived(task, request)


@pytest.mark.parametrize("form", get_args(Format))
async def test_every_format_is_signed_by_standard_webhooks_over_the_bytes_that_are_sent(house: House, form: str) -> None:
    """The public library verifies each."""
    assert (await arrived(house, form)).request.headers["webhook-attempt"] == "1"


async def test_standard_is_id_type_timestamp_and_the_task(house: House) -> None:
    found = await arrived(house, "standard")

    assert list(found.body) == ["id", "type", "timestamp", "data"]
    assert (found.body["id"], found.body["type"]) == (found.request.headers["webhook-id"], "task.succeeded")
    assert found.body["timestamp"].endswith("Z")
    assert found.body["data"]["task"] == found.task


async def test_a_ping_names_the_subscription(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        seen = await try_one(api, receiver.url)

    assert json.loads(receiver.requests[0].body)["data"] == {"subscription": {"id": seen.subscription["id"]}}


async def test_cloudevents_is_the_structured_mode_and_its_library_reads_it(house: House) -> None:
    found = await arrived(house, "cloudevents")
    event = from_http_event(HTTPMessage(found.request.headers, found.request.body))

    assert found.request.headers["content-type"] == "application/cloudevents+json"
    assert (event.get_id(), event.get_type()) == (found.request.headers["webhook-id"], "task.succeeded")
    assert event.get_subject() == found.task["id"]
    assert event.get_data() == {"task": found.task}


async def test_flat_has_one_level_and_the_names_of_the_contract(house: House) -> None:
    found = await arrived(house, "flat")

    assert list(found.body) == [*FLAT, "metadata_order"]
    assert [found.body[name] for name in ("task_id", "status", "provider", "prompt", "image_url", "image_urls", "metadata_order")] == [
        found.task["id"], "succeeded", "apiframe", PROMPT, PICTURE, [PICTURE], "A-17"]
    assert not any(isinstance(value, dict) for value in found.body.values())


async def test_slack_is_a_message_that_mentions_nobody(house: House) -> None:
    found = await arrived(house, "slack")

    assert set(found.body) == {"text", "blocks"}
    assert [block["type"] for block in found.body["blocks"]] == ["section", "image"]
    assert "<!channel>" not in found.body["text"] + found.body["blocks"][0]["text"]["text"]
    assert found.body["blocks"][1]["image_url"] == PICTURE


async def test_discord_is_a_message_that_mentions_nobody_and_waits_for_the_answer(house: House) -> None:
    found = await arrived(house, "discord")

    assert set(found.body) == {"content", "embeds", "allowed_mentions"}
    assert found.body["allowed_mentions"] == {"parse": []}
    assert found.body["embeds"][0]["image"]["url"] == PICTURE
    assert found.request.target == "/hook?wait=true"


async def test_ifttt_is_three_values(house: House) -> None:
    assert (await arrived(house, "ifttt")).body == {"value1": "succeeded", "value2": PICTURE, "value3": PROMPT}


class TestTemplate:
    """A JSON body that the subscriber wrote."""

    async def test_dotted_paths_are_substituted_and_escaped_and_what_was_filled_in_is_not_read_again(self, house: House) -> None:
        assert (await arrived(house, "template")).body == {
            "text": f"task.succeeded: {PROMPT}", "picture": PICTURE, "task": {"order": "A-17"}, "fixed": [1, None]}

    @pytest.mark.parametrize("template", [
        {"a": "{{ f(x) }}"}, {"a": "{{ x | upper }}"}, {"a": "{{#if x}}"}, {"a": "{{ x"}, {"a": "{{ }}"}])
    async def test_it_has_no_logic(self, api: httpx.AsyncClient, template: dict[str, str]) -> None:
        for path in (PATH, f"{PATH}/preview"):
            where = {"url": URL} if path == PATH else {}
            assert named_fields(await api.post(path, json={**where, "format": "template", "template": template})) == {"template"}

    async def test_it_is_limited_in_size(self, api: httpx.AsyncClient) -> None:
        wish = {"url": URL, "format": "template", "template": {"a": "x" * 17_000}}
        assert named_fields(await api.post(PATH, json=wish)) == {"template"}

    async def test_its_preview_is_what_is_sent_and_tells_nobody(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            wish = {"format": "template", "template": {"said": "{{ type }} {{ data.task.prompt }}", "at": "{{ image_url }}"}}
            shown = read_json(await api.post(f"{PATH}/preview", json=wish), 200)
            subscription = await subscribe(api, url=receiver.url, **wish)
            assert receiver.connections == 0
            await settled(api, await act(api, subscription, "test", {"type": "task.succeeded"}, status=202))

        assert json.loads(shown["body"]) == json.loads(receiver.requests[0].body)


async def test_a_formatting_failure_is_an_attempt_that_its_owner_can_see(api: httpx.AsyncClient) -> None:
    """A template whose body grows too large: nothing is sent, and all goes on as after any failure."""
    async with Receiver() as receiver:
        subscription = await subscribe(api, url=receiver.url, format="template", template=["{{data}}" * 2000], retry_schedule=["0s", "0s"])
        delivery = await act(api, subscription, "test", {"type": "task.succeeded"}, status=202)
        done = await settled(api, delivery, attempts=2)
        assert receiver.connections == 0

    attempts = read_json(await api.get(f"/api/v1/deliveries/{delivery['id']}/attempts"), 200)["data"]
    assert done["status"] == "exhausted"
    assert {(attempt["status_code"], attempt["error"]) for attempt in attempts} == {
        (None, "the body made from the template would have more than 1048576 bytes")}


@pytest.mark.parametrize("form", ["slack", "discord"])
async def test_a_chat_that_refuses_a_message_is_sent_to_again(api: httpx.AsyncClient, form: str) -> None:
    async with Receiver(Answer(status=400, body=b"invalid_payload"), OK) as receiver:
        seen = await try_one(api, receiver.url, attempts=2, format=form, retry_schedule=["0s", "0s"])

    assert (seen.standing, seen.attempts[0]["response_body"]) == (("delivered", 2), "invalid_payload")
