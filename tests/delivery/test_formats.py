"""Events in the formats that carry data: flat, cloudevents, ifttt."""

import json
from datetime import datetime
from typing import Any, get_args

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from relay.errors import Unformattable
from relay.model import EventType
from relay.web.template import Format
from tests.delivery.made import ACCOUNT, make_task
from tests.delivery.telling import FORMATTER, HOSTILE, URL, failed, ping, sample, succeeded, tell, told

FLAT = ["id", "type", "timestamp", "task_id", "status", "provider", "model", "prompt", "image_url", "image_urls", "error_code",
        "error_message"]


def test_the_formats_that_can_be_asked_for_are_those_that_there_are() -> None:
    assert set(FORMATTER.names) == set(get_args(Format))


@pytest.mark.parametrize("name", FORMATTER.names)
@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_can_be_told_in_every_format(kind: EventType, name: str) -> None:
    assert told(name, sample(kind), template={"what": "{{ type }}"})


@pytest.mark.parametrize("name", FORMATTER.names)
@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE)
def test_a_retry_tells_the_same_to_the_byte_whatever_was_asked_for(name: str, prompt: str) -> None:
    event = succeeded(URL, prompt=prompt)
    first, again = (FORMATTER.format(name, event, template={"p": "{{ task.prompt }}"}) for _ in range(2))
    assert first == again
    assert isinstance(json.loads(first.body), dict)


def test_what_was_erased_cannot_be_told() -> None:
    event = ping()
    erased = type(event)(id=event.id, account_id=ACCOUNT, type=event.type, created_at=event.created_at, body=b"")
    for name in FORMATTER.names:
        with pytest.raises(Unformattable, match="erased"):
            FORMATTER.format(name, erased)


class TestFlat:
    """One level, the same names always."""

    def test_a_task_that_ended_well(self) -> None:
        task = make_task(prompt="a lighthouse", model="flux-pro", metadata={"order": "A-17", "paid": True, "n": 2, "a.b": "c"})
        event = tell(EventType.TASK_SUCCEEDED, task)
        assert told("flat", event) == {
            "id": event.id, "type": "task.succeeded", "timestamp": "2026-11-20T12:00:00Z", "task_id": task.id, "status": "succeeded",
            "provider": "apiframe", "model": "flux-pro", "prompt": "a lighthouse", "image_url": None, "image_urls": [],
            "error_code": None, "error_message": None,
            "metadata_order": "A-17", "metadata_paid": True, "metadata_n": 2, "metadata_a.b": "c",
        }

    def test_its_pictures(self) -> None:
        body = told("flat", succeeded(URL, URL + "?2"))
        assert (body["image_url"], body["image_urls"]) == (URL, [URL, URL + "?2"])

    def test_a_task_that_failed(self) -> None:
        body = told("flat", failed('no, "this" is not allowed'))
        assert (body["status"], body["error_code"], body["error_message"]) == ("failed", "moderated", 'no, "this" is not allowed')

    @pytest.mark.parametrize("kind", list(EventType))
    def test_the_names_are_the_same_in_every_event(self, kind: EventType) -> None:
        body = told("flat", sample(kind))
        assert list(body)[:len(FLAT)] == FLAT
        assert not [value for value in body.values() if isinstance(value, dict)]
        assert isinstance(body["image_urls"], list)

    def test_what_is_not_about_a_task_has_the_names_that_lead_to_it(self) -> None:
        body = told("flat", sample(EventType.DELIVERY_FAILING))
        assert body["type"] == "delivery.failing"
        assert (body["subscription_url"], body["delivery_status"], body["delivery_attempts"]) == (
            "https://example.com/hooks/relay", "pending", 4)
        assert told("flat", ping())["subscription_id"] == "sub_1"

    def test_metadata_never_takes_the_place_of_a_field(self) -> None:
        body = told("flat", tell(EventType.TASK_SUCCEEDED, make_task(metadata={"id": "mine", "status": "mine"})))
        assert (body["status"], body["metadata_id"], body["metadata_status"]) == ("succeeded", "mine", "mine")


class TestCloudEvents:
    """As the library of the project reads them."""

    @pytest.mark.parametrize("kind", list(EventType))
    def test_the_library_reads_every_type(self, kind: EventType) -> None:
        event = sample(kind)
        message = FORMATTER.format("cloudevents", event)
        assert message.content_type == "application/cloudevents+json"
        read = from_structured_event(HTTPMessage({"content-type": message.content_type}, message.body))
        assert (read.get_specversion(), read.get_id(), read.get_type()) == ("1.0", event.id, kind.value)
        assert (read.get_source(), read.get_datacontenttype()) == (f"urn:relay:{ACCOUNT}", "application/json")
        assert read.get_time() == datetime.fromisoformat(json.loads(event.body)["timestamp"])
        assert read.get_data() == json.loads(event.body)["data"]

    def test_the_subject_is_the_task(self) -> None:
        task = make_task()
        assert told("cloudevents", tell(EventType.TASK_FAILED, task))["subject"] == task.id
        assert "subject" not in told("cloudevents", ping())

    def test_every_name_is_lower_case_letters_and_digits(self) -> None:
        for kind in EventType:
            assert all(name.isalnum() and name.islower() for name in told("cloudevents", sample(kind)))


@pytest.mark.parametrize(("body", "values"), [
    (told("ifttt", succeeded(URL, URL + "2", prompt="a lighthouse")), ("succeeded", URL, "a lighthouse")),
    (told("ifttt", succeeded(prompt=None)), ("succeeded", "", "")),
    (told("ifttt", failed(prompt='a\n"lighthouse"')), ("failed", "", 'a\n"lighthouse"')),
    (told("ifttt", ping()), ("ping", "", "subscription id: sub_1")),
], ids=["succeeded", "bare", "failed", "ping"])
def test_ifttt_gets_three_texts(body: dict[str, Any], values: tuple[str, str, str]) -> None:
    assert body == dict(zip(("value1", "value2", "value3"), values, strict=True))
