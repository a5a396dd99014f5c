"""Each subscription has a lane of its own: what one receiver does costs the others nothing, and a backlog stays in the store."""

import asyncio
from typing import Any, cast

import httpx
import pytest

from relay.ports import Store
from tests.delivery.conformance.trial import deliveries
from tests.delivery.office import Office, Shim, cancel
from tests.delivery.receiver import SILENT, Answer, Receiver
from tests.web.subscribing import act, subscribe

pytestmark = pytest.mark.anyio

EVENTS = 25
CRAWLING = Answer(body=b"a" * 600, pieces=1, pause=0.1)
CRAWLING_HEADERS = Answer(raw=b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 600, pieces=1, pause=0.1)
ENDLESS_REDIRECT = Answer(status=302, headers={"Location": "/hook"}, body=b"")


async def tell(api: httpx.AsyncClient, *subscriptions: dict[str, Any], number: int = EVENTS) -> None:
    for subscription in subscriptions:
        for _ in range(number):
            await act(api, subscription, "test", status=202)


@pytest.mark.parametrize("answer", [
    pytest.param(SILENT, id="hangs"), pytest.param(CRAWLING, id="answers slowly"), pytest.param(CRAWLING_HEADERS, id="drips headers"),
    pytest.param(Answer(status=500), id="fails"), pytest.param(Answer(raw=b"", after="close"), id="hangs up"),
    pytest.param(Answer(status=503, headers={"Retry-After": "1"}), id="is overloaded"),
    pytest.param(Answer(body=b"", after="ever"), id="never stops talking"), pytest.param(ENDLESS_REDIRECT, id="redirects"),
])
async def test_one_that_misbehaves_does_not_hold_up_the_healthy_one(api: httpx.AsyncClient, answer: Answer) -> None:
    """All that goes to the healthy one arrives while the other still has attempts before it, and never so many under way that it
    would take the places of others."""
    async with Receiver(answer) as bad, Receiver() as good:
        faulty = await subscribe(api, url=bad.url, retry_schedule=["0s"] * 20)
        healthy = await subscribe(api, url=good.url)
        await tell(api, faulty)
        await bad.wait_for_requests(1)
        await tell(api, healthy)
        await good.wait_for_requests(EVENTS)
        assert bad.most_at_once <= 8

        assert len(good.requests) == EVENTS
        await act(api, faulty, "pause")


async def test_one_that_hangs_gets_one_attempt_at_a_time(api: httpx.AsyncClient) -> None:
    async with Receiver(SILENT) as bad, Receiver() as good:
        hanging, healthy = await subscribe(api, url=bad.url), await subscribe(api, url=good.url)
        await tell(api, hanging, healthy)
        await good.wait_for_requests(EVENTS)
        assert len(bad.requests) == 1


async def test_a_thousand_that_are_dead_do_not_hold_up_the_healthy_one(api: httpx.AsyncClient) -> None:
    async with Receiver() as gone:
        url = gone.url
    async with Receiver() as good:
        for number in range(0, 1000, 50):
            await asyncio.gather(*(subscribe(api, url=f"{url}/{number + each}", events=["task.progress"]) for each in range(50)))
        await subscribe(api, url=good.url, events=["task.progress"])
        for number in range(1, 3):
            answer = await api.post("/api/v1/events", json={"type": "task.progress"})
            assert len(answer.json()["deliveries"]) == 1001
            await good.wait_for_requests(number)


async def test_more_that_hang_than_there_are_places_leave_half_of_the_places_to_the_healthy_one(office: Office) -> None:
    async with Receiver(SILENT) as bad, Receiver() as good:
        for _ in range(40):
            await office.ping(await office.failing(bad.url))
        running = asyncio.get_running_loop().create_task(office.worker(places=8).run(asyncio.Event()), name="deliveries")
        await bad.wait_for_requests(4)
        healthy = await office.subscribe(good.url)
        for number in range(1, 6):
            await office.ping(healthy)
            await good.wait_for_requests(number)
        assert len(bad.requests) == 4
        await cancel(running)


async def test_concurrency_and_rate_are_each_subscriptions_own(api: httpx.AsyncClient) -> None:
    gate = asyncio.Event()
    async with Receiver(Answer(until=gate)) as narrow, Receiver(Answer(until=gate)) as wide, Receiver() as other:
        one, two = await subscribe(api, url=narrow.url, max_concurrent=1), await subscribe(api, url=wide.url)
        paced = await subscribe(api, url=other.url, rate_per_second=0.01)
        await tell(api, one, two, paced, number=6)
        await narrow.wait_for_requests(1)
        await wide.wait_for_requests(1)
        gate.set()
        await narrow.wait_for_requests(6)
        await wide.wait_for_requests(6)
        assert narrow.most_at_once == 1
        assert len(other.requests) == 1


async def test_memory_is_bounded_whatever_the_backlog_which_stays_in_the_store(office: Office) -> None:
    shim = Shim(office.store)
    async with Receiver(SILENT) as bad, Receiver() as good:
        for _ in range(30):
            await office.ping(await office.failing(bad.url), 50)
        running = asyncio.get_running_loop().create_task(
            office.worker(cast("Store", shim), places=16).run(asyncio.Event()), name="deliveries")
        await office.ping(await office.subscribe(good.url), 40)
        await good.wait_for_requests(40)
        assert shim.claimed - len(shim.released) <= 40 + 16
        await cancel(running)


async def test_the_backlog_is_all_listed_while_it_waits(api: httpx.AsyncClient) -> None:
    async with Receiver(SILENT) as bad:
        hanging = await subscribe(api, url=bad.url)
        await tell(api, hanging, number=60)
        await bad.wait_for_requests(1)
        pending = await deliveries(api, subscription_id=hanging["id"], status="pending")
        assert (len(pending), len(bad.requests)) == (60, 1)
