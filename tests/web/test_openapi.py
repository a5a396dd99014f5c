"""The OpenAPI document, the page that draws it, and the page at the door."""

import base64
import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from starlette.routing import Route

from relay import __version__
from relay.model import EventType, Image, Task
from relay.view import image_view, task_view
from relay.web import shapes
from relay.web.errors import TITLES
from relay.web.operations import OPERATIONS
from tests.web.conftest import House
from tests.web.subscribing import subscribe, succeeded

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
async def document(house: House) -> dict[str, Any]:
    answer = await house.stranger.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return dict(answer.json())


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


async def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


async def test_what_is_described_is_what_is_routed(house: House, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    assert set(document["paths"]) == {route.path for route in house.site.routes if isinstance(route, Route)}
    assert document["info"]["version"] == __version__


async def test_every_path_answers_and_names_the_methods_it_takes(house: House, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        allowed = {method.upper() for method in methods}
        answer = await house.stranger.request("PUT", re.sub(r"\{\w+\}", "x", path))

        assert answer.status_code == 405, path
        assert set(answer.headers["allow"].split(", ")) == allowed | ({"HEAD"} if "GET" in allowed else set()), path


async def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    named = [operation["operationId"] for operation in operations_of(document)]
    named += [webhook["post"]["operationId"] for webhook in document["webhooks"].values()]

    assert len(named) == len(set(named))
    assert {tag for operation in operations_of(document) for tag in operation["tags"]} == {tag["name"] for tag in document["tags"]}


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(rb'"\$ref":"#/([^"]+)"', msgspec.json.encode(document))):
        place: Any = document
        for name in reference.decode().split("/"):
            place = place[name]


async def test_every_component_is_used(document: dict[str, Any]) -> None:
    text = msgspec.json.encode(document).decode()
    unused = [f"{kind}/{name}" for kind in ("schemas", "responses", "headers") for name in document["components"][kind]
              if f'"#/components/{kind}/{name}"' not in text]

    assert unused == []


async def test_every_example_of_a_request_is_one(document: dict[str, Any]) -> None:
    bodies = [operation["requestBody"]["content"].get("application/json", {}) for operation in operations_of(document)
              if "requestBody" in operation]
    bodies += [webhook["post"]["requestBody"]["content"]["application/json"] for webhook in document["webhooks"].values()]

    examples = [body for body in bodies if "example" in body]
    assert len(examples) > 15
    for body in examples:
        jsonschema_rs.validator_for({**body["schema"], "components": document["components"]}).validate(body["example"])


async def test_what_needs_a_key_says_so(document: dict[str, Any]) -> None:
    for operation in operations_of(document):
        assert ("401" in operation["responses"]) >= bool(operation["security"])
        if operation["security"]:
            assert {"bearer", "apiKey"} == {name for way in operation["security"] for name in way}


async def test_every_code_of_a_problem_is_one_that_is_told(document: dict[str, Any]) -> None:
    answers = document["components"]["responses"].values()
    schemas = [answer["content"]["application/problem+json"]["schema"]["allOf"][1] for answer in answers]

    codes = {code for schema in schemas for code in schema["properties"]["code"]["enum"]}
    assert codes <= set(TITLES)
    assert set(TITLES) - codes == {"budget_exceeded", "method_not_allowed", "rate_limited"}


async def test_every_event_type_is_a_webhook(document: dict[str, Any]) -> None:
    assert set(document["webhooks"]) == {kind.value for kind in EventType}
    for webhook in document["webhooks"].values():
        assert {header["name"] for header in webhook["post"]["parameters"]} == {
            "webhook-id", "webhook-timestamp", "webhook-signature", "webhook-attempt"}


async def test_what_a_subscriber_receives_is_as_described(house: House, document: dict[str, Any]) -> None:
    await succeeded(house, metadata={"order": "A-17"})
    for kind in EventType:
        schema = document["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"]
        validator = jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True)
        for sample in (await house.api.get("/api/v1/events/samples", params={"type": kind})).json():
            validator.validate(sample)


async def test_a_subscription_shows_what_the_schema_says(house: House, document: dict[str, Any]) -> None:
    made = await subscribe(house.api, retry_schedule=["5s"], headers={"a": "b"}, metadata={"a": 1})

    assert set(made) == set(document["components"]["schemas"]["Subscription"]["properties"])


def test_the_schema_of_a_task_is_what_the_view_makes() -> None:
    task = Task(id="task_1", account_id="acc_1", provider="kie", created_at=NOW)

    made = task_view(task, lambda _id, now: ("", now), NOW)

    assert list(made) == list(shapes.Task.__struct_fields__)


def test_the_schema_of_an_image_is_what_the_view_makes() -> None:
    assert list(image_view(Image(id="img_1"), lambda _id, now: ("", now), NOW)) == list(shapes.Image.__struct_fields__)


class TestPages:
    """/ and /docs."""

    @pytest.mark.parametrize("path", ["/", "/docs"])
    async def test_a_page_needs_nothing_from_outside(self, house: House, path: str) -> None:
        answer = await house.stranger.get(path)

        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert re.findall(r"""(?:src|href)=["'](?!data:,)(?:[\w+.-]+:|/)""", answer.text) == []
        assert re.findall(r"https?://", answer.text) == []

    @pytest.mark.parametrize("path", ["/", "/docs"])
    async def test_its_own_style_and_script_are_allowed_and_no_other(self, house: House, path: str) -> None:
        answer = await house.stranger.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))

        for tag in ("style", "script"):
            blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
            hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'" for block in blocks]
            assert policy[f"{tag}-src"].split(" ") == (hashes or ["'none'"])
        assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
        assert re.findall(r"""\s(?:style|on\w+)=["']""", answer.text) == []

    async def test_the_door_shows_where_to_go(self, house: House) -> None:
        answer = await house.stranger.get("/")

        assert __version__ in answer.text
        links = re.findall(r'href="([^":]+)"', answer.text)
        assert "docs" in links
        for link in links:
            assert (await house.stranger.get(link)).status_code == 200, link

    async def test_the_document_may_be_kept_but_is_asked_for_anew(self, api: httpx.AsyncClient) -> None:
        assert (await api.get("/openapi.json")).headers["cache-control"] == "no-cache"
