"""A client that says that it comes again, while others ask for the same: it is given what nobody else waits for, or has had."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay import app
from relay.stores.sqlite.call import Calls
from tests.web.conftest import House, read_json, relay_in

pytestmark = pytest.mark.anyio

Waiting = asyncio.Task[httpx.Response]
AGAIN = {"x-stainless-retry-count": "1"}


async def call(house: House, **headers: str) -> httpx.Response:
    return await house.api.post("/dropin/segmind/v1/flux-1.1-pro", json={"prompt": "the same"}, headers=headers)


@asynccontextmanager
async def calls(folder: Path, monkeypatch: pytest.MonkeyPatch, *, settling: float) -> AsyncIterator[tuple[House, str, Waiting]]:
    """A call that has been answered, with its task, and an equal one that waits for its answer."""
    monkeypatch.setattr(app, "_SETTLING", settling)
    async with relay_in(folder) as running, AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        house = await House(running, stack).open()
        answered = await call(house)
        assert answered.status_code == 200
        running.upstream.submit_gate.clear()
        running.upstream.arrived.clear()
        waiting = group.create_task(call(house), name="an equal call")
        await running.upstream.arrived.wait()
        yield house, answered.headers["x-relay-task-id"], waiting
        running.upstream.submit_gate.set()


async def test_a_lost_call_is_taken_up_again_before_what_an_equal_one_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_looked, rejoin = asyncio.Event(), Calls.rejoin

    async def rejoin_aloud(store: Calls, *what: Any, **how: Any) -> Any:
        found = await rejoin(store, *what, **how)
        has_looked.set()
        return found

    monkeypatch.setattr(Calls, "rejoin", rejoin_aloud)
    async with calls(tmp_path / "data", monkeypatch, settling=60) as (house, answered, lost), asyncio.TaskGroup() as group:
        has_looked.clear()
        again = group.create_task(call(house, **AGAIN), name="the lost call again")
        await has_looked.wait()
        lost.cancel()
        house.upstream.submit_gate.set()
        given = (await again).headers["x-relay-task-id"]
        tasks = read_json(await house.api.get("/api/v1/tasks"), 200)["data"]
    assert {task["id"] for task in tasks} == {answered, given}
    assert given != answered


async def test_a_lost_answer_is_given_again_once_an_equal_call_is_seen_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with calls(tmp_path / "data", monkeypatch, settling=0.3) as (house, answered, waiting):
        again = await call(house, **AGAIN)
        assert (again.status_code, again.headers["x-relay-task-id"]) == (200, answered)
        assert not waiting.done()
