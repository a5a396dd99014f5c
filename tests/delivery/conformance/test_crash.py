"""Processes that die, and processes that are asked to stop, in the middle of their work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.bell import Bell
from relay.ids import new_id
from relay.stores.sqlite import open_store
from tests.delivery.conformance.trial import attempts_at, deliveries
from tests.delivery.made import link, now
from tests.delivery.office import Office
from tests.delivery.receiver import OK, SILENT, Answer, Receiver
from tests.e2e.harness import ADMIN_KEY, Api, Process, free_port
from tests.e2e.shell import run
from tests.web.subscribing import act, look_at, settled

pytestmark = pytest.mark.anyio

PROMISED_SECONDS = 5.0
"""From the restart to the first redelivery."""


class Scene:
    """A relay that can be killed and started again at the same address, and its API."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.port = free_port()
        self.env = {"RELAY_PORT": str(self.port), "RELAY_DATA_DIR": str(folder / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY,
                    "RELAY_LOG": "text", "RELAY_ALLOW_CIDRS": "127.0.0.0/8", **environ}
        self.relay = Process("serve", port=self.port, env=self.env, log=folder / "relay.log")
        self.api = Api(self.relay.url)

    async def restart_until(self, receiver: Receiver, requests: int) -> float:
        """Seconds from the start of the new process until so many requests have come in all."""
        clock = asyncio.get_running_loop().time
        began = clock()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.relay.start(), name="restart")
            await receiver.wait_for_requests(requests)
            return clock() - began

    async def until_closed(self) -> None:
        """Until it accepts no connection any more."""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionRefusedError):
                while True:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await asyncio.sleep(0.02)

    async def tell(self, receiver: Receiver, number: int = 1, **wish: Any) -> list[dict[str, Any]]:
        """A new subscription, and so many pings on their way to it."""
        subscription = await self.api.subscribe(receiver.url, **wish)
        return [await act(self.api, subscription, "test", status=202) for _ in range(number)]


@contextlib.asynccontextmanager
async def scene(folder: Path, **environ: str) -> AsyncIterator[Scene]:
    made = Scene(folder, **environ)
    await made.relay.start()
    async with made.api:
        try:
            yield made
        finally:
            await made.relay.kill()


async def test_after_kill_9_what_was_in_flight_and_what_was_pending_come_within_5_seconds_of_the_restart(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Receiver(SILENT) as receiver:
        flying, waiting = await here.tell(receiver, 2, max_concurrent=1)
        await receiver.wait_for_requests(1)
        await here.relay.kill()
        receiver.say(OK)
        assert await here.restart_until(receiver, 3) <= PROMISED_SECONDS
        assert [(await settled(here.api, one))["status"] for one in (flying, waiting)] == ["delivered"] * 2
        assert [len(await attempts_at(here.api, one)) for one in (flying, waiting)] == [1, 1]

    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert ids[0] == flying["event_id"]
    assert sorted(ids[1:]) == sorted([flying["event_id"], waiting["event_id"]])
    assert {request.headers["webhook-attempt"] for request in receiver.requests} == {"1"}


async def test_after_kill_9_a_retry_that_fell_due_meanwhile_comes_within_5_seconds_of_the_restart(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Receiver(Answer(status=500), OK) as receiver:
        [delivery] = await here.tell(receiver, retry_schedule=["0s", "1s"])
        await settled(here.api, delivery)
        await here.relay.kill()
        assert await here.restart_until(receiver, 2) <= PROMISED_SECONDS
        done = await settled(here.api, delivery, attempts=2)

    assert done["status"] == "delivered"
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2"]


async def test_after_kill_9_in_the_middle_of_very_many_all_come_and_the_first_within_5_seconds_of_the_restart(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Receiver() as receiver:
        subscription = await here.api.subscribe(receiver.url, events=["task.progress"])
        gate = asyncio.Event()
        receiver.say(Answer(until=gate))
        for _ in range(10):
            await asyncio.gather(*(here.api.post("/api/v1/events", json={"type": "task.progress"}) for _ in range(20)))
        await receiver.wait_for_requests(1)
        await here.relay.kill()
        receiver.say(OK)
        gate.set()
        before = len(receiver.requests)
        assert await here.restart_until(receiver, before + 1) <= PROMISED_SECONDS
        await receiver.wait_for_requests(200)
        told = await deliveries(here.api, subscription_id=subscription["id"])
        for delivery in told:
            await settled(here.api, delivery)

    assert {request.headers["webhook-id"] for request in receiver.requests} == {delivery["event_id"] for delivery in told}
    assert len(told) == 200


async def test_a_shutdown_is_not_an_attempt(tmp_path: Path) -> None:
    """An attempt that outlasts the grace period leaves no record, and its number is used again."""
    async with scene(tmp_path, RELAY_SHUTDOWN_GRACE="500ms") as here, Receiver(Answer(status=500), SILENT) as receiver:
        [delivery] = await here.tell(receiver, retry_schedule=["0s", "0s", "1h"])
        await receiver.wait_for_requests(2)
        assert await here.relay.stop() == 0
        receiver.say(OK)
        assert await here.restart_until(receiver, 3) <= PROMISED_SECONDS
        done = await settled(here.api, delivery, attempts=2)
        attempts = await attempts_at(here.api, delivery)

    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2", "2"]
    assert (done["status"], done["attempts"]) == ("delivered", 2)
    assert [(attempt["number"], attempt["status_code"]) for attempt in attempts] == [(1, 500), (2, 200)]


async def test_a_shutdown_awaits_what_is_in_flight_and_begins_nothing_more(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with scene(tmp_path) as here, Receiver(Answer(until=gate)) as receiver:
        flying, waiting = await here.tell(receiver, 2, max_concurrent=1)
        await receiver.wait_for_requests(1)
        stopping = asyncio.get_running_loop().create_task(here.relay.stop(), name="stop")
        await here.until_closed()
        gate.set()
        assert await stopping == 0
        assert len(receiver.requests) == 1
        await here.relay.start()
        await receiver.wait_for_requests(2)
        assert [(await settled(here.api, one))["status"] for one in (flying, waiting)] == ["delivered"] * 2

    assert [request.headers["webhook-id"] for request in receiver.requests] == [flying["event_id"], waiting["event_id"]]


async def test_claimed_work_is_leased_until_its_holder_is_gone(office: Office, tmp_path: Path) -> None:
    [delivery] = await office.ping(await office.subscribe("https://a.example/hook"))
    [job] = (await office.store.claim_deliveries(limit=10, now=now())).jobs
    assert (await office.store.claim_deliveries(limit=10, now=now(), rooms={delivery.subscription_id: 10})).jobs == []
    await office.store.close()

    store = await open_store(tmp_path / "relay.db", bell=Bell(), link=link, new_id=new_id)
    await store.recover()
    [again] = (await store.claim_deliveries(limit=10, now=now())).jobs
    await store.close()
    assert (again.delivery.id, again.delivery.attempts) == (job.delivery.id, 0)


async def test_a_second_process_never_takes_what_the_first_has_claimed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Receiver(SILENT) as receiver:
        [delivery] = await here.tell(receiver)
        await receiver.wait_for_requests(1)
        refused = await asyncio.to_thread(run, "serve", cwd=tmp_path, **{**here.env, "RELAY_PORT": "0"})
        assert refused.returncode != 0
        assert "relay.db" in refused.stderr
        assert (await look_at(here.api, delivery))["status"] == "pending"
        assert len(receiver.requests) == 1
