"""Subscriptions: made, listed, altered, removed; tried, paused; their secrets."""

import asyncio
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError

from tests.delivery.receiver import Receiver
from tests.web.conftest import House, named_fields, problem, read_json
from tests.web.subscribing import PATH, URL, act, look_at, subscribe, succeeded, trigger, verified

pytestmark = pytest.mark.anyio

FIELDS = {
    "id", "url", "target_url", "status", "disabled_reason", "events", "providers", "metadata", "format", "description", "headers",
    "rate_per_second", "max_concurrent", "ordered", "retry_schedule", "signatures", "template", "verify", "allow_cidrs",
    "callback_secret", "public_key", "task_id", "failing_since", "created_at",
}


class TestCreating:
    """POST /api/v1/subscriptions."""

    async def test_a_subscription_is_answered_with_its_defaults_and_its_secret(self, api: httpx.AsyncClient) -> None:
        answer = await api.post(PATH, json={"url": URL})

        made = read_json(answer, 201)
        assert set(made) == FIELDS | {"secret"}
        assert answer.headers["location"] == f"{PATH}/{made['id']}"
        assert made["secret"].startswith("whsec_")
        assert made["url"] == made["target_url"] == URL
        assert (made["status"], made["events"], made["format"]) == ("active", ["task.succeeded", "task.failed"], "standard")

    async def test_creating_sends_nothing(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url)
            await act(api, made, "test", status=202)
            await receiver.wait_for_requests(1)

            assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1"]
            assert verified(receiver, made["secret"])["type"] == "ping"

    @pytest.mark.parametrize("name", ["url", "target_url", "targetUrl", "hookUrl", "hook_url", "callback_url"])
    async def test_the_address_has_many_names(self, api: httpx.AsyncClient, name: str) -> None:
        made = read_json(await api.post(PATH, json={name: URL, "event": "task.failed"}), 201)

        assert (made["url"], made["events"]) == (URL, ["task.failed"])

    async def test_two_different_addresses_are_refused(self, api: httpx.AsyncClient) -> None:
        assert named_fields(await api.post(PATH, json={"url": URL, "hookUrl": f"{URL}/2"})) == {"url"}

    async def test_the_same_wish_gives_the_same_subscription(self, api: httpx.AsyncClient) -> None:
        wish = {"providers": ["kie", "segmind"], "metadata": {"shop": "north"}}
        made = await subscribe(api, events=["task.succeeded", "task.failed"], **wish)

        again = await api.post(PATH, json={"target_url": URL, "events": ["task.failed", "task.succeeded"], "description": "new", **wish})

        assert read_json(again, 200)["id"] == made["id"]
        assert again.json()["secret"] == made["secret"]
        assert again.headers["location"] == f"{PATH}/{made['id']}"

    @pytest.mark.parametrize("other", [{"url": f"{URL}/2"}, {"events": ["task.*"]}, {"providers": ["kie"]}, {"metadata": {"shop": "north"}},
                                       {"format": "provider"}], ids=lambda other: next(iter(other)))
    async def test_another_wish_is_another_subscription(self, api: httpx.AsyncClient, other: dict[str, Any]) -> None:
        first = await subscribe(api)

        assert (await subscribe(api, **other))["id"] != first["id"]

    async def test_asking_again_wakes_a_paused_subscription(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)
        await act(api, made, "pause")

        again = read_json(await api.post(PATH, json={"url": URL}), 200)

        assert (again["id"], again["status"]) == (made["id"], "active")

    async def test_a_deleted_subscription_is_made_anew(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)
        await api.delete(f"{PATH}/{made['id']}")

        again = await subscribe(api)

        assert again["id"] != made["id"]
        assert again["secret"] != made["secret"]

    async def test_a_secret_of_your_own_is_taken(self, api: httpx.AsyncClient) -> None:
        secret = "whsec_" + "QUFB" * 8

        assert (await subscribe(api, secret=secret))["secret"] == secret

    async def test_what_is_private_is_masked(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api, headers={"Authorization": "Bearer hush"}, callback_secret="hush-hush", format="provider")

        shown = await api.get(f"{PATH}/{made['id']}")

        assert (shown.json()["headers"], shown.json()["callback_secret"]) == ({"Authorization": "***"}, "***")
        assert "hush" not in shown.text
        assert "secret" not in shown.json()

    @pytest.mark.parametrize(("field", "value"), [
        ("url", "http://10.0.0.1/hook"), ("url", "https://0x0a000001/hook"), ("url", "https://[::ffff:10.0.0.1]/hook"),
        ("url", "https://user:pass@example.com/"), ("url", "ftp://example.com/"), ("url", "http://8.8.8.8/"), ("url", ""), ("url", 5),
        ("events", []), ("events", ["task.done"]), ("events", ["task.succeeded", "*.x"]), ("providers", ["dalle"]), ("format", "xml"),
        ("metadata", {"a": {"b": 1}}), ("headers", {"webhook-id": "1"}), ("headers", {"host": "a"}), ("headers", {"a": "b\r\nc: d"}),
        ("rate_per_second", 0), ("max_concurrent", 0), ("retry_schedule", ["soon"]), ("retry_schedule", []), ("retry_schedule", ["8d"]),
        ("secret", "whsec_short"), ("secret", "hush"), ("callback_secret", ""), ("signatures", ["v2"]), ("signatures", []),
        ("signatures", ["v1", "v1"]), ("template", {"a": 1}), ("verify", "echo"), ("allow_cidrs", ["10.0.0.1/8"]),
        ("allow_cidrs", ["inside"]), ("allow_cidrs", []), ("colour", "red"),
    ])
    async def test_what_cannot_be_is_refused_by_name(self, api: httpx.AsyncClient, field: str, value: object) -> None:
        refused = named_fields(await api.post(PATH, json={"url": URL, field: value}))

        assert [name.split(".")[0] for name in refused] == [field]
        assert (await api.get(PATH)).json()["data"] == []

    async def test_pace_and_order_are_its_owners(self, api: httpx.AsyncClient) -> None:
        wish = {"rate_per_second": 2.5, "max_concurrent": 3, "ordered": True}
        made = await subscribe(api, **wish)
        assert {name: made[name] for name in wish} == wish

        changed = (await api.patch(f"{PATH}/{made['id']}", json={"ordered": False, "max_concurrent": None})).json()

        assert (changed["ordered"], changed["max_concurrent"], changed["rate_per_second"]) == (False, None, 2.5)

    async def test_without_an_address_there_is_none(self, api: httpx.AsyncClient) -> None:
        assert named_fields(await api.post(PATH, json={})) == {"url"}

    async def test_a_pause_is_told_in_seconds_whatever_it_was_given_in(self, api: httpx.AsyncClient) -> None:
        assert (await subscribe(api, retry_schedule=["0s", "500ms", 5, "2h"]))["retry_schedule"] == [0, 0.5, 5, 7200]


class TestLooking:
    """The list, and one of it."""

    @pytest.mark.parametrize("name", ["url", "target_url"])
    async def test_the_list_can_be_narrowed_to_an_address(self, api: httpx.AsyncClient, name: str) -> None:
        wanted = await subscribe(api)
        await subscribe(api, url=f"{URL}/2")

        found = read_json(await api.get(PATH, params={name: URL}), 200)

        assert [one["id"] for one in found["data"]] == [wanted["id"]]
        assert found["next_cursor"] is None

    async def test_nothing_is_at_two_addresses(self, api: httpx.AsyncClient) -> None:
        for address in (URL, f"{URL}/2"):
            await subscribe(api, url=address)

        found = read_json(await api.get(PATH, params={"url": URL, "target_url": f"{URL}/2"}), 200)

        assert found == {"data": [], "next_cursor": None}

    async def test_the_list_comes_page_by_page_newest_first(self, api: httpx.AsyncClient) -> None:
        made = [await subscribe(api, url=f"{URL}/{number}") for number in range(3)]

        first = read_json(await api.get(PATH, params={"limit": 2}), 200)
        second = read_json(await api.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]}), 200)

        assert {one["id"] for one in first["data"] + second["data"]} == {one["id"] for one in made}
        assert [len(first["data"]), len(second["data"]), second["next_cursor"]] == [2, 1, None]

    async def test_a_tasks_own_is_listed_only_with_the_task(self, house: House) -> None:
        task = await house.submit(callback_url=URL)

        assert (await house.api.get(PATH)).json()["data"] == []
        own = (await house.api.get(PATH, params={"task_id": task["id"]})).json()["data"]
        assert [(one["task_id"], one["url"]) for one in own] == [(task["id"], URL)]

    async def test_what_is_anothers_is_not_there(self, house: House) -> None:
        made = await subscribe(house.api)
        other = await house.neighbour("read", "subscribe")
        one = f"{PATH}/{made['id']}"

        answers = [await other.get(one), await other.patch(one, json={"events": ["*"]}), await other.delete(one),
                   await other.get(f"{one}/secret")]
        answers += [await other.post(f"{one}/{action}") for action in ("rotate-secret", "pause", "resume", "test")]

        for answer in answers:
            problem(answer, 404, "not_found")
        assert (await other.get(PATH)).json()["data"] == []
        assert (await house.api.get(one)).json()["status"] == "active"

    async def test_reading_and_writing_are_different_scopes(self, house: House) -> None:
        made = await subscribe(house.api)
        reader, writer = await house.with_key("read"), await house.with_key("subscribe")

        assert (await reader.get(f"{PATH}/{made['id']}")).status_code == 200
        problem(await reader.post(PATH, json={"url": URL}), 403, "forbidden")
        problem(await reader.get(f"{PATH}/{made['id']}/secret"), 403, "forbidden")
        problem(await writer.get(PATH), 403, "forbidden")
        assert (await writer.get(f"{PATH}/{made['id']}/secret")).json() == {"id": made["id"], "secret": made["secret"], "public_key": None}


class TestAltering:
    """PATCH and DELETE."""

    async def test_what_is_absent_stays(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api, providers=["kie"], description="first", headers={"a": "b"})

        altered = read_json(await api.patch(f"{PATH}/{made['id']}", json={"events": ["task.*"], "description": None}), 200)

        assert altered == {**{name: made[name] for name in FIELDS}, "events": ["task.*"], "description": None}
        assert (await api.get(f"{PATH}/{made['id']}")).json() == altered

    async def test_becoming_the_same_as_another_is_a_conflict(self, api: httpx.AsyncClient) -> None:
        await subscribe(api)
        other = await subscribe(api, url=f"{URL}/2")

        problem(await api.patch(f"{PATH}/{other['id']}", json={"target_url": URL}), 409, "conflict")

        assert (await api.get(f"{PATH}/{other['id']}")).json()["url"] == f"{URL}/2"

    @pytest.mark.parametrize(("field", "value"), [("url", "http://10.0.0.1/"), ("events", []), ("format", None), ("secret", "whsec_x"),
                                                  ("status", "active"), ("metadata", {"a": []})])
    async def test_what_cannot_be_is_refused_by_name(self, api: httpx.AsyncClient, field: str, value: object) -> None:
        made = await subscribe(api)

        refused = named_fields(await api.patch(f"{PATH}/{made['id']}", json={field: value}))

        assert [name.split(".")[0] for name in refused] == [field]

    async def test_deleting_twice_is_no_error(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)

        answers = [await api.delete(f"{PATH}/{made['id']}") for _ in range(2)]

        assert [read_json(answer, 200) for answer in answers] == [{}, {}]
        problem(await api.get(f"{PATH}/{made['id']}"), 404, "not_found")
        problem(await api.delete(f"{PATH}/sub_nobody"), 404, "not_found")

    async def test_deleting_cancels_what_was_held_and_leaves_it_listed(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)
        await act(api, made, "pause")
        delivery = (await trigger(api))["deliveries"][0]

        await api.delete(f"{PATH}/{made['id']}")

        assert (await look_at(api, delivery))["status"] == "cancelled"


class TestPausing:
    """What happens while nothing is to be sent."""

    async def test_events_are_held_and_sent_oldest_first_on_resuming(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url, events=["*"], max_concurrent=1)
            assert (await act(api, made, "pause"))["status"] == "paused"
            told = [await trigger(api, kind) for kind in ("task.submitted", "task.progress", "task.succeeded")]
            assert [one["deliveries"][0]["status"] for one in told] == ["held"] * 3
            assert receiver.requests == []

            assert (await act(api, made, "resume"))["status"] == "active"

            requests = await receiver.wait_for_requests(3)
            assert {request.headers["webhook-id"] for request in requests} == {one["id"] for one in told}

    async def test_what_was_held_can_be_kept(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)
        await act(api, made, "pause")
        delivery = (await trigger(api))["deliveries"][0]

        await act(api, made, "resume", {"held": "keep"})

        assert (await look_at(api, delivery))["status"] == "held"

    async def test_another_word_is_refused(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)

        assert named_fields(await api.post(f"{PATH}/{made['id']}/resume", json={"held": "drop"})) == {"held"}


class TestTrying:
    """POST …/test."""

    async def test_a_sample_is_sent_whatever_the_filters_say(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url, events=["task.failed"], providers=["kie"])
            other = await subscribe(api, url=f"{receiver.url}/other", events=["*"])

            delivery = await act(api, made, "test", {"type": "task.succeeded"}, status=202)

            await receiver.wait_for_requests(1)
            told = verified(receiver, made["secret"])
            assert (told["id"], told["type"], told["data"]["task"]["status"]) == (delivery["event_id"], "task.succeeded", "succeeded")
            assert (await api.get("/api/v1/deliveries", params={"subscription_id": other["id"]})).json()["data"] == []

    async def test_a_ping_names_the_subscription(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)
        await act(api, made, "pause")

        delivery = await act(api, made, "test", {}, status=202)

        assert (delivery["status"], delivery["event_type"]) == ("held", "ping")
        event = (await api.get(f"/api/v1/events/{delivery['event_id']}")).json()
        assert event["data"] == {"subscription": {"id": made["id"]}}

    async def test_a_type_that_is_none_is_refused(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)

        assert named_fields(await api.post(f"{PATH}/{made['id']}/test", json={"type": "task.done"})) == {"type"}

    async def test_nobody_cannot_be_tried(self, api: httpx.AsyncClient) -> None:
        problem(await api.post(f"{PATH}/sub_nobody/test"), 404, "not_found")
        assert (await api.get("/api/v1/events")).json()["data"] == []


class TestSecrets:
    """POST …/rotate-secret."""

    async def test_the_old_secret_signs_beside_the_new_one(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url)

            rotated = await act(api, made, "rotate-secret")

            await act(api, made, "test", status=202)
            await receiver.wait_for_requests(1)
            assert rotated["secret"] != made["secret"]
            assert verified(receiver, made["secret"]) == verified(receiver, rotated["secret"])
            assert (await api.get(f"{PATH}/{made['id']}/secret")).json()["secret"] == rotated["secret"]

    async def test_the_one_before_the_old_one_signs_no_more(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url)
            await act(api, made, "rotate-secret")
            secret = "whsec_" + "QUFB" * 8

            assert (await act(api, made, "rotate-secret", {"secret": secret}))["secret"] == secret

            await act(api, made, "test", status=202)
            await receiver.wait_for_requests(1)
            assert verified(receiver, secret)
            with pytest.raises(WebhookVerificationError):
                verified(receiver, made["secret"])

    async def test_rotating_to_the_secret_in_force_changes_nothing(self, api: httpx.AsyncClient) -> None:
        async with Receiver() as receiver:
            made = await subscribe(api, url=receiver.url)
            rotated = await act(api, made, "rotate-secret")

            await act(api, made, "rotate-secret", {"secret": rotated["secret"]})

            await act(api, made, "test", status=202)
            await receiver.wait_for_requests(1)
            assert verified(receiver, made["secret"]) == verified(receiver, rotated["secret"])

    async def test_what_is_no_secret_is_refused(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api)

        assert named_fields(await api.post(f"{PATH}/{made['id']}/rotate-secret", json={"secret": "short"})) == {"secret"}


async def test_what_is_altered_and_rotated_at_the_same_instant_all_stands(api: httpx.AsyncClient) -> None:
    made = await subscribe(api)
    wishes = {"description": "the studio's", "max_concurrent": 3, "ordered": True, "rate_per_second": 2.5, "events": ["ping"]}

    rotated, *altered = await asyncio.gather(
        act(api, made, "rotate-secret"), *(api.patch(f"{PATH}/{made['id']}", json={name: wish}) for name, wish in wishes.items()))

    assert {answer.status_code for answer in altered} == {200}
    assert wishes.items() <= read_json(await api.get(f"{PATH}/{made['id']}"), 200).items()
    assert read_json(await api.get(f"{PATH}/{made['id']}/secret"), 200)["secret"] == rotated["secret"]


async def test_only_what_a_subscription_asks_for_reaches_it(house: House) -> None:
    async with Receiver() as receiver:
        made = await subscribe(house.api, url=receiver.url, providers=["apiframe"], metadata={"shop": "north"})
        await succeeded(house, metadata={"shop": "south"})
        task = await succeeded(house, metadata={"shop": "north"})

        await receiver.wait_for_requests(1)
        listed = (await house.api.get("/api/v1/deliveries", params={"subscription_id": made["id"]})).json()["data"]
        assert [one["task_id"] for one in listed] == [task["id"]]
        assert verified(receiver, made["secret"])["data"]["task"]["id"] == task["id"]
