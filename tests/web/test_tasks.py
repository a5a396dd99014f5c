"""Submitting tasks, looking at them, waiting for them, ending them."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.web.conftest import PUBLIC_URL, TASK, House, named_fields, problem

pytestmark = pytest.mark.anyio

FIELDS = {"id", "provider", "model", "status", "progress", "prompt", "input", "images", "error", "provider_task_id", "via", "cost",
          "metadata", "created_at", "submitted_at", "completed_at"}


async def test_a_task_is_answered_with_202_and_its_place(house: House) -> None:
    answer = await house.api.post("/api/v1/tasks", json={**TASK, "width": 1024, "height": 768, "metadata": {"order": "A-17"}})

    task = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/tasks/{task['id']}"
    assert set(task) == FIELDS
    assert task["input"] == {"width": 1024, "height": 768}
    assert (task["status"], task["metadata"]) == ("queued", {"order": "A-17"})
    assert (await house.see(task))["id"] == task["id"]


async def test_a_result_is_shown_with_the_providers_link(house: House) -> None:
    task = await house.accepted()
    await house.call_back(task)

    ended = await house.see(task, wait=20)

    assert (ended["status"], ended["via"], ended["progress"]) == ("succeeded", "callback", 100)
    assert [image["url"] for image in ended["images"]] == ["https://images.example.com/1.png"]


class TestIdempotency:
    """The header Idempotency-Key."""

    async def test_the_same_key_and_body_give_the_same_task(self, api: httpx.AsyncClient) -> None:
        headers = {"idempotency-key": "order-17", "content-type": "application/json"}
        first = await api.post("/api/v1/tasks", headers=headers, content='{"provider":"apiframe","prompt":"a lighthouse"}')
        again = await api.post("/api/v1/tasks", headers=headers, content='{ "prompt": "a lighthouse", "provider": "apiframe" }')

        assert (first.status_code, again.status_code) == (202, 200)
        assert again.json()["id"] == first.json()["id"]
        assert again.headers["location"] == first.headers["location"]
        assert len((await api.get("/api/v1/tasks")).json()["data"]) == 1

    async def test_the_same_key_with_another_body_is_a_conflict(self, api: httpx.AsyncClient) -> None:
        headers = {"idempotency-key": "order-17"}
        await api.post("/api/v1/tasks", json=TASK, headers=headers)

        problem(await api.post("/api/v1/tasks", json={**TASK, "seed": 2}, headers=headers), 409, "conflict")

    async def test_a_refused_request_keeps_no_key(self, api: httpx.AsyncClient) -> None:
        headers = {"idempotency-key": "order-17"}

        assert (await api.post("/api/v1/tasks", json={**TASK, "width": 7}, headers=headers)).status_code == 422
        assert (await api.post("/api/v1/tasks", json=TASK, headers=headers)).status_code == 202

    @pytest.mark.parametrize("key", ["two words", '"8e03978e-40d5"', "k" * 255], ids=["a space", "quoted", "the longest"])
    async def test_any_printable_text_is_a_key(self, api: httpx.AsyncClient, key: str) -> None:
        answers = [await api.post("/api/v1/tasks", json=TASK, headers={"idempotency-key": key}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 200]
        assert answers[0].json()["id"] == answers[1].json()["id"]

    @pytest.mark.parametrize("key", ["", "k" * 256], ids=["empty", "too long"])
    async def test_a_key_that_is_none_is_refused(self, api: httpx.AsyncClient, key: str) -> None:
        assert named_fields(await api.post("/api/v1/tasks", json=TASK, headers={"idempotency-key": key})) == {"Idempotency-Key"}

    async def test_keys_of_two_accounts_have_nothing_to_do_with_each_other(self, house: House) -> None:
        shop = await house.neighbour("submit")
        headers = {"idempotency-key": "order-17"}

        answers = [await each.post("/api/v1/tasks", json=TASK, headers=headers) for each in (house.api, shop)]

        assert [answer.status_code for answer in answers] == [202, 202]


async def test_the_signing_secret_of_a_callback_url_is_shown_once(house: House) -> None:
    body = {**TASK, "callback_url": "https://example.com/hook"}
    headers = {"idempotency-key": "order-17"}

    first = (await house.api.post("/api/v1/tasks", json=body, headers=headers)).json()
    again = (await house.api.post("/api/v1/tasks", json=body, headers=headers)).json()

    assert first["callback_signing_secret"].startswith("whsec_")
    assert "callback_signing_secret" not in again
    assert "callback_signing_secret" not in await house.see(first)


class TestWaiting:
    """`?wait=` and the header Prefer."""

    async def test_a_submission_is_answered_with_200_when_the_task_ends(self, separate: House) -> None:
        async with asyncio.TaskGroup() as group:
            posted = group.create_task(separate.api.post("/api/v1/tasks", json=TASK, headers={"prefer": "respond-async, wait=30"}))
            await separate.call_back()

        answer = posted.result()
        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
        assert answer.headers["preference-applied"] == "wait=30"

    async def test_a_submission_is_answered_with_202_when_the_time_is_over(self, house: House) -> None:
        answer = await house.api.post("/api/v1/tasks", params={"wait": "1"}, json=TASK)

        assert (answer.status_code, answer.json()["status"]) == (202, "submitted")

    async def test_a_look_is_answered_when_the_task_ends(self, house: House) -> None:
        task = await house.accepted()
        async with asyncio.TaskGroup() as group:
            looked = group.create_task(house.see(task, wait=30))
            await house.call_back(task)

        assert looked.result()["status"] == "succeeded"

    @pytest.mark.parametrize(("preferred", "applied"), [("wait=10", "wait=10"), ("wait=9999", "wait=60"), ("Wait = 5; x=1", "wait=5"),
                                                        ("wait=-1", None), ("wait=soon", None), ("handling=lenient", None)])
    async def test_a_preference_is_told_as_far_as_it_was_honoured(self, house: House, preferred: str, applied: str | None) -> None:
        task = await house.submit()
        await house.api.post(f"/api/v1/tasks/{task['id']}/cancel")

        answer = await house.api.get(f"/api/v1/tasks/{task['id']}", headers={"prefer": preferred})

        assert answer.status_code == 200
        assert answer.headers.get("preference-applied") == applied

    @pytest.mark.parametrize("wait", ["soon", "-1", "1.5", ""])
    async def test_a_parameter_that_is_no_number_of_seconds_is_refused(self, api: httpx.AsyncClient, wait: str) -> None:
        assert named_fields(await api.post("/api/v1/tasks", params={"wait": wait}, json=TASK)) == {"wait"}

    async def test_a_wait_ends_when_the_service_stops(self, separate: House) -> None:
        task = await separate.accepted()
        async with asyncio.TaskGroup() as group:
            looked = group.create_task(separate.see(task, wait=60))
            separate.site.state.stop()

        assert looked.result()["status"] == "submitted"


@pytest.mark.parametrize(("change", "code", "fields"), [
    ({"prompt": None}, "invalid_request", {"prompt"}),
    ({"promt": "x"}, "invalid_request", {"promt"}),
    ({"width": "1024"}, "invalid_request", {"width"}),
    ({"metadata": {"a": {}}}, "invalid_request", {"metadata.a"}),
    ({"metadata": {str(n): n for n in range(51)}}, "invalid_request", {"metadata"}),
    ({"callback_url": "ftp://example.com/"}, "invalid_request", {"callback_url"}),
    ({"callback_url": "https://example.com/" + "x" * 2048}, "invalid_request", {"callback_url"}),
    ({"callback_url": "https://example.com/", "callback_secret": "two words"}, "invalid_request", {"callback_secret"}),
    ({"provider": "midjourney"}, "unknown_provider", {"provider"}),
    ({"watermark": "mine"}, "unsupported_parameter", {"watermark"}),
], ids=lambda value: str(value)[:30] if isinstance(value, dict) else None)
async def test_what_cannot_be_done_is_refused_by_name(api: httpx.AsyncClient, change: dict[str, Any], code: str, fields: set[str]) -> None:
    assert named_fields(await api.post("/api/v1/tasks", json={**TASK, **change}), code) == fields


async def test_a_provider_without_a_key_is_refused(api: httpx.AsyncClient) -> None:
    problem(await api.post("/api/v1/tasks", json={**TASK, "provider": "kie"}), 422, "provider_not_configured")


async def test_null_is_the_same_as_absent(house: House) -> None:
    assert (await house.submit(aspect_ratio=None, options={}, metadata=None))["input"] == {}


class TestList:
    """GET /api/v1/tasks."""

    @pytest.mark.parametrize(("query", "found"), [
        ({"status": "failed"}, ["one"]), ({"status": "succeeded"}, []), ({"provider": "serevix"}, ["two"]),
        ({"model": "flux-dev"}, ["one"]), ({"metadata.n": "1"}, ["one"]), ({"metadata.n": "1", "metadata.who": "b"}, []),
        ({"created_after": "2020-01-01T00:00:00Z"}, ["two", "one"]), ({"created_before": "2020-01-01T00:00:00+02:00"}, []),
    ], ids=str)
    async def test_filters_must_all_match(self, house: House, query: dict[str, str], found: list[str]) -> None:
        one = await house.submit(prompt="one", model="flux-dev", metadata={"n": 1, "who": "a"})
        await house.submit(prompt="two", provider="serevix", metadata={"n": 2, "who": "b"})
        await house.api.post(f"/api/v1/tasks/{one['id']}/cancel")

        listed = (await house.api.get("/api/v1/tasks", params=query)).json()

        assert [task["prompt"] for task in listed["data"]] == found

    async def test_pages_go_from_new_to_old(self, house: House) -> None:
        for prompt in ("one", "two", "three"):
            await house.submit(prompt=prompt)

        first = (await house.api.get("/api/v1/tasks", params={"limit": "2"})).json()
        second = (await house.api.get("/api/v1/tasks", params={"limit": "2", "cursor": first["next_cursor"]})).json()

        assert [task["prompt"] for task in first["data"] + second["data"]] == ["three", "two", "one"]
        assert second["next_cursor"] is None

    @pytest.mark.parametrize(("query", "field"), [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("status=done", "status"), ("state=failed", "state"),
        ("created_after=yesterday", "created_after"), ("created_after=2026-01-01T00:00:00", "created_after"),
        ("created_before=9999-12-31T23:59:59-23:00", "created_before"), ("limit=1&limit=2", "limit"), ("metadata=x", "metadata"),
        ("provider=%00", "provider"), ("cursor=", "cursor"),
    ])
    async def test_a_bad_parameter_is_named(self, api: httpx.AsyncClient, query: str, field: str) -> None:
        assert field in named_fields(await api.get(f"/api/v1/tasks?{query}"))


class TestEnding:
    """Cancel, refresh, erase."""

    async def test_a_cancelled_task_has_failed_and_stays_so(self, house: House) -> None:
        task = await house.accepted()

        cancelled = (await house.api.post(f"/api/v1/tasks/{task['id']}/cancel")).json()

        assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
        assert (await house.call_back(task)).json()["verdict"] == "late"
        assert (await house.see(task))["status"] == "failed"
        problem(await house.api.post(f"/api/v1/tasks/{task['id']}/cancel"), 409, "conflict")

    async def test_a_refresh_asks_the_provider_now(self, house: House) -> None:
        answer = await house.api.post("/api/v1/tasks/watch", json={"provider": "apiframe", "provider_task_id": "up-1"})

        refreshed = (await house.api.post(f"/api/v1/tasks/{answer.json()['id']}/refresh")).json()

        assert (refreshed["status"], refreshed["progress"]) == ("processing", 10)
        assert house.upstream.polls >= 1

    async def test_a_task_without_a_name_at_the_provider_cannot_be_refreshed(self, separate: House) -> None:
        separate.upstream.submit_gate.clear()
        task = await separate.accepted()

        problem(await separate.api.post(f"/api/v1/tasks/{task['id']}/refresh"), 409, "conflict")

    async def test_an_erased_task_keeps_nothing_of_its_prompt(self, house: House) -> None:
        task = await house.accepted(metadata={"order": "A-17"})
        await house.call_back(task)

        erased = await house.api.delete(f"/api/v1/tasks/{task['id']}")

        assert (erased.status_code, erased.json()) == (200, {})
        left = await house.see(task)
        assert (left["prompt"], left["metadata"], left["images"], left["status"]) == (None, {}, [], "succeeded")


class TestWatching:
    """POST /api/v1/tasks/watch."""

    async def test_the_app_gets_an_address_and_a_secret_for_its_provider(self, house: House) -> None:
        answer = await house.api.post("/api/v1/tasks/watch", json={"provider": "apiframe", "metadata": {"order": "A-17"}})

        task = answer.json()
        assert answer.status_code == 201
        assert set(task) == FIELDS | {"provider_callback_url", "provider_callback_secret"}
        assert task["provider_callback_url"].startswith(f"{PUBLIC_URL}/callbacks/apiframe/task_")
        path = task["provider_callback_url"].removeprefix(PUBLIC_URL)
        body = {"task_id": "theirs", "image_url": "https://images.example.com/2.png"}
        called = await house.stranger.post(path, json=body, headers={"x-webhook-secret": task["provider_callback_secret"]})
        assert called.json()["verdict"] == "applied"
        assert (await house.see(task))["provider_task_id"] == "theirs"

    async def test_a_provider_that_echoes_no_secret_gets_none(self, api: httpx.AsyncClient) -> None:
        task = (await api.post("/api/v1/tasks/watch", json={"provider": "kie", "callback_url": "https://example.com/"})).json()

        assert task["provider_callback_url"].startswith(f"{PUBLIC_URL}/callbacks/kie/")
        assert task["provider_callback_secret"] is None
        assert task["callback_signing_secret"].startswith("whsec_")

    async def test_a_provider_without_callbacks_is_polled_by_the_id(self, api: httpx.AsyncClient) -> None:
        task = (await api.post("/api/v1/tasks/watch", json={"provider": "serevix", "provider_task_id": "up-1"})).json()

        ended = (await api.get(f"/api/v1/tasks/{task['id']}", params={"wait": "20"})).json()

        assert (task["provider_callback_url"], task["provider_callback_secret"]) == (None, None)
        assert (ended["status"], ended["via"]) == ("succeeded", "poll")

    @pytest.mark.parametrize(("body", "code", "field"), [
        ({"provider": "serevix"}, "invalid_request", "provider_task_id"),
        ({"provider": "segmind"}, "invalid_request", "provider"),
        ({"provider": "nobody"}, "unknown_provider", "provider"),
        ({"provider": "apiframe", "prompt": "x"}, "invalid_request", "prompt"),
    ], ids=str)
    async def test_what_cannot_be_watched_is_refused(self, api: httpx.AsyncClient, body: dict[str, str], code: str, field: str) -> None:
        assert named_fields(await api.post("/api/v1/tasks/watch", json=body), code) == {field}


async def test_a_task_of_another_account_is_not_there(house: House) -> None:
    shop = await house.neighbour("submit", "read")
    task = await house.submit()

    place = f"/api/v1/tasks/{task['id']}"
    answers = [await shop.get(place), await shop.get(f"{place}/timeline"), await shop.post(f"{place}/cancel"),
               await shop.post(f"{place}/refresh"), await shop.delete(place)]

    for answer in answers:
        problem(answer, 404, "not_found")
    assert (await shop.get("/api/v1/tasks")).json()["data"] == []


async def test_the_timeline_tells_everything_in_order(house: House) -> None:
    task = await house.accepted()
    called = await house.call_back(task)

    steps = (await house.api.get(f"/api/v1/tasks/{task['id']}/timeline")).json()["data"]

    assert called.status_code == 200
    assert [step["kind"] for step in steps if step["kind"] != "event"] == ["created", "submitted", "callback", "succeeded"]
    assert [step["detail"] for step in steps if step["kind"] == "event"][-1] == "task.succeeded"
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    assert all(set(step) == {"at", "kind", "detail", "id"} for step in steps)


async def test_providers_say_what_they_take(api: httpx.AsyncClient) -> None:
    providers = {each["name"]: each for each in (await api.get("/api/v1/providers")).json()["data"]}

    assert {name: each["result"] for name, each in providers.items()} == {
        "serevix": "poll", "apiframe": "callback", "segmind": "response", "kie": "callback", "yescale": "response"}
    assert {name for name, each in providers.items() if each["configured"]} == {"serevix", "apiframe", "segmind"}
    model = next(model for model in providers["apiframe"]["models"] if model["default"])
    assert model["name"] == "flux-pro-1.1"
    assert {"type": "integer", "minimum": 256, "maximum": 1440}.items() <= model["parameters"]["width"].items()


async def test_an_input_picture_may_be_large(api: httpx.AsyncClient) -> None:
    uri = "data:image/png;base64," + "A" * 2_000_000  # beyond what other requests may hold

    assert named_fields(await api.post("/api/v1/tasks", json={**TASK, "image": uri})) == {"image"}
