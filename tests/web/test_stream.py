"""Events as they happen, over Server-Sent Events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.web.conftest import House, named_fields, problem
from tests.web.subscribing import succeeded, trigger

pytestmark = pytest.mark.anyio

PATH = "/api/v1/events/stream"


class Stream:
    """An open stream, read message by message."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The fields of the next message; a comment stands under the name ``."""
        async with asyncio.timeout(10):
            fields: dict[str, str] = {}
            async for line in self._lines:
                if not line:
                    return fields
                name, _, value = line.partition(": ")
                fields[name] = value
        raise AssertionError("the stream ended")

    async def told(self, number: int) -> list[str]:
        """The ids of the next so many events."""
        return [(await self.next())["id"] for _ in range(number)]


@asynccontextmanager
async def streaming(api: httpx.AsyncClient, headers: dict[str, str] | None = None, **query: str) -> AsyncIterator[Stream]:
    """A stream that has begun: what is told from now on is in it."""
    async with api.stream("GET", PATH, params=query, headers=headers) as response:
        stream = Stream(response)
        assert "connected" in (await stream.next())[""]
        yield stream


async def test_an_event_comes_as_a_subscriber_receives_it(api: httpx.AsyncClient) -> None:
    async with streaming(api) as stream:
        told = await trigger(api)

        message = await stream.next()

        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert (message["id"], message["event"]) == (told["id"], "task.succeeded")
        body: dict[str, Any] = json.loads(message["data"])
        assert (body["id"], body["type"], body["data"]) == (told["id"], "task.succeeded", told["event"]["data"])


async def test_what_a_task_goes_through_comes_in_order(house: House) -> None:
    async with streaming(house.api) as stream:
        await succeeded(house)

        assert [(await stream.next())["event"] for _ in range(2)] == ["task.submitted", "task.succeeded"]


async def test_without_an_id_it_begins_now(api: httpx.AsyncClient) -> None:
    await trigger(api)
    async with streaming(api) as stream:
        told = await trigger(api)

        assert await stream.told(1) == [told["id"]]


@pytest.mark.parametrize("by", ["header", "query"])
async def test_it_resumes_behind_the_last_event_without_a_gap(api: httpx.AsyncClient, by: str) -> None:
    told = [(await trigger(api))["id"] for _ in range(4)]
    known = {"headers": {"last-event-id": told[1]}} if by == "header" else {"last_event_id": told[1]}

    async with streaming(api, **known) as stream:
        told.append((await trigger(api))["id"])

        assert await stream.told(3) == told[2:]


@pytest.mark.parametrize("known", ["null", "undefined", "~", "zzz"])
async def test_an_id_that_is_none_of_ours_is_like_no_id_and_not_like_one_behind_all_others(api: httpx.AsyncClient, known: str) -> None:
    async with streaming(api, headers={"last-event-id": known}) as stream:
        told = await trigger(api)

        assert await stream.told(1) == [told["id"]]


async def test_a_break_in_the_middle_loses_and_doubles_nothing(api: httpx.AsyncClient) -> None:
    seen: list[str] = []
    told: list[str] = []
    async with streaming(api) as stream:
        told += [(await trigger(api))["id"] for _ in range(3)]
        seen += await stream.told(2)
    told += [(await trigger(api))["id"] for _ in range(2)]
    async with streaming(api, headers={"last-event-id": seen[-1]}) as stream:
        told.append((await trigger(api))["id"])
        seen += await stream.told(4)

    assert seen == told


@pytest.mark.parametrize("before", [0, 1], ids=["no event ever", "an event before"])
async def test_a_break_before_the_first_event_loses_none(api: httpx.AsyncClient, before: int) -> None:
    for _ in range(before):
        await trigger(api)
    async with api.stream("GET", PATH) as response:
        first = await Stream(response).next()
    told = [(await trigger(api))["id"] for _ in range(2)]

    async with streaming(api, headers={"last-event-id": first["id"]}) as stream:
        assert await stream.told(2) == told


async def test_more_than_one_stretch_comes_whole(api: httpx.AsyncClient) -> None:
    first = (await trigger(api, "ping"))["id"]
    await asyncio.gather(*(trigger(api, "ping") for _ in range(205)))
    newest = (await api.get("/api/v1/events", params={"limit": 200})).json()["data"]

    async with streaming(api, headers={"last-event-id": first}) as stream:
        told = await stream.told(205)

    assert len(set(told)) == 205
    assert told[5:] == [event["id"] for event in reversed(newest)]


async def test_only_the_types_asked_for_come(api: httpx.AsyncClient) -> None:
    async with streaming(api, types="task.f*,ping") as stream:
        told = {kind: (await trigger(api, kind))["id"] for kind in ("task.succeeded", "task.failed", "task.progress", "ping")}

        assert await stream.told(2) == [told["task.failed"], told["ping"]]


async def test_only_the_task_asked_for_comes(house: House) -> None:
    task = await house.accepted()
    async with streaming(house.api, task_id=task["id"], types="task.succeeded") as stream:
        await trigger(house.api)
        await house.call_back(task)

        assert json.loads((await stream.next())["data"])["data"]["task"]["id"] == task["id"]


async def test_what_is_anothers_does_not_come(house: House) -> None:
    neighbour = await house.neighbour("read", "subscribe")
    async with streaming(house.api) as stream:
        await trigger(neighbour)
        told = await trigger(house.api)

        assert await stream.told(1) == [told["id"]]


async def test_a_key_is_needed(house: House) -> None:
    problem(await house.stranger.get(PATH), 401, "unauthorized")
    problem(await (await house.with_key("submit")).get(PATH), 403, "forbidden")


@pytest.mark.parametrize(("name", "value"), [("types", "task.done"), ("types", ""), ("since", "1")])
async def test_a_wrong_wish_is_refused_by_name(api: httpx.AsyncClient, name: str, value: str) -> None:
    assert named_fields(await api.get(PATH, params={name: value})) == {name}


async def test_a_look_at_the_head_ends_at_once(api: httpx.AsyncClient) -> None:
    answer = await api.head(PATH)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_it_ends_when_the_process_stops(separate: House) -> None:
    async with streaming(separate.api) as stream:
        separate.site.state.stop()

        with pytest.raises(AssertionError, match="the stream ended"):
            await stream.next()
