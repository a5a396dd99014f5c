"""How things look to the outside."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from relay.model import ErrorCode, EventType, Image, Task, TaskError, TaskStatus, Via
from relay.view import image_view, ping_event, task_event, task_view, to_json

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def link(image_id: str, now: datetime) -> tuple[str, datetime]:
    return f"https://relay.example/images/{image_id}?signed", now + timedelta(days=7)


def a_task(**fields: Any) -> Task:
    return Task(id="task_1", account_id="acc_1", provider="apiframe", model="flux-pro-1.1", prompt="a lighthouse", created_at=NOW,
    **fields)


def shown(value: Any) -> Any:
    return msgspec.json.decode(to_json(value))


def test_a_task_shows_all_its_fields_and_only_those() -> None:
    task = a_task(status=TaskStatus.SUCCEEDED, progress=100, input={"width": 1024, "options": {"a": 1}}, provider_task_id="p-1",
                  via=Via.CALLBACK, cost=0.04, metadata={"order": "A-17"}, submitted_at=NOW, completed_at=NOW, accepted=True, sends=1)
    assert shown(task_view(task, link, NOW)) == {
        "id": "task_1", "provider": "apiframe", "model": "flux-pro-1.1", "status": "succeeded", "progress": 100, "prompt": "a lighthouse",
        "input": {"width": 1024, "options": {"a": 1}}, "images": [], "error": None, "provider_task_id": "p-1", "via": "callback",
    "cost": 0.04,
        "metadata": {"order": "A-17"}, "created_at": "2026-11-20T12:00:00Z", "submitted_at": "2026-11-20T12:00:00Z",
        "completed_at": "2026-11-20T12:00:00Z",
    }


def test_a_failure_shows_its_reason() -> None:
    error = TaskError(code=ErrorCode.MODERATED, message="no", provider_code="400")
    assert shown(task_view(a_task(status=TaskStatus.FAILED, error=error), link, NOW))["error"] == {
        "code": "moderated", "message": "no", "provider_code": "400"}


def test_a_picture_that_is_kept_opens_by_our_link() -> None:
    image = Image(id="img_1", kept=True, source_url="https://cdn.example/1.png", content_type="image/png", width=64, height=48,
    size_bytes=9, sha256="ab")
    assert shown(image_view(image, link, NOW)) == {
        "id": "img_1", "url": "https://relay.example/images/img_1?signed", "source_url": "https://cdn.example/1.png",
    "content_type": "image/png",
        "width": 64, "height": 48, "size_bytes": 9, "sha256": "ab", "expires_at": "2026-11-27T12:00:00Z"}


def test_a_picture_that_is_not_kept_opens_by_the_providers_link_byte_for_byte() -> None:
    url = "https://cdn.example/1.png?sig=%2Fa%2f&x=ü"
    view = shown(image_view(Image(id="img_1", source_url=url, source_expires_at=NOW), link, NOW))
    assert (view["url"], view["source_url"], view["expires_at"], view["width"]) == (url, url, "2026-11-20T12:00:00Z", None)


def test_an_input_picture_that_is_kept_shows_as_a_link() -> None:
    assert task_view(a_task(input={"image": "image:img_9", "seed": 1}), link, NOW)["input"] == {
        "image": "https://relay.example/images/img_9?signed", "seed": 1}


@pytest.mark.parametrize("given", [{"image": "https://example.com/cat.png"}, {}, {"image": 7}])
def test_an_input_picture_by_url_shows_as_it_was_given(given: dict[str, Any]) -> None:
    assert task_view(a_task(input=given), link, NOW)["input"] == given


def test_an_event_carries_the_task_and_its_body_is_frozen() -> None:
    task = a_task(status=TaskStatus.SUCCEEDED, images=(Image(id="img_1", kept=True),), metadata={"order": "A-17"})
    event = task_event("evt_1", EventType.TASK_SUCCEEDED, task, link, NOW)
    assert msgspec.json.decode(event.body) == {
        "id": "evt_1", "type": "task.succeeded", "timestamp": "2026-11-20T12:00:00Z", "data": {"task": shown(task_view(task, link, NOW))}}
    assert (event.account_id, event.task_id, event.provider, event.metadata, event.subscription_id) == (
        "acc_1", "task_1", "apiframe", {"order": "A-17"}, None)


def test_a_ping_is_for_one_subscription_and_names_it() -> None:
    event = ping_event("evt_1", "acc_1", "sub_1", NOW)
    assert msgspec.json.decode(event.body) == {
        "id": "evt_1", "type": "ping", "timestamp": "2026-11-20T12:00:00Z", "data": {"subscription": {"id": "sub_1"}}}
    assert (event.subscription_id, event.task_id) == ("sub_1", None)


def test_times_are_shown_in_utc_with_a_z_and_text_as_utf_8() -> None:
    noon_in_rome = datetime(2026, 11, 20, 13, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))
    assert to_json({"at": noon_in_rome.astimezone(UTC), "text": "größe"}) == '{"at":"2026-11-20T12:00:00.250000Z","text":"größe"}'.encode()
