"""Replays from the wish to the receiver, beside live events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import pytest

from relay.delivery.replay import ReplayWorker
from relay.errors import StoreError
from relay.ids import new_id
from relay.model import EventType, Replay, ReplayStatus, Subscription
from relay.ports import Replays
from relay.view import task_event
from tests.delivery.made import ACCOUNT, link, make_task, now
from tests.delivery.office import Office
from tests.delivery.receiver import Answer, Receiver

pytestmark = pytest.mark.anyio


class Stumbling:
    """The real store, but the first look at the replays fails."""

    def __init__(self, store: Replays) -> None:
        self._store = store
        self.looks = 0
        self.advance_replay = store.advance_replay

    async def replays_to_advance(self) -> Sequence[str]:
        self.looks += 1
        if self.looks == 1:
            raise StoreError("the disk is full")
        return await self._store.replays_to_advance()


@contextlib.asynccontextmanager
async def replaying(office: Office, store: Replays | None = None, ahead: int = 3) -> AsyncIterator[None]:
    """Both workers run."""
    stopping = asyncio.Event()
    async with asyncio.timeout(15), office.at_work(), asyncio.TaskGroup() as group:
        group.create_task(ReplayWorker(store or office.store, office.bell, clock=now, ahead=ahead).run(stopping), name="replays")
        yield
        stopping.set()
        office.bell.ring_all()


async def happened(office: Office, number: int) -> list[str]:
    """Events that nobody asked for yet."""
    events = [task_event(new_id("evt"), EventType.TASK_SUCCEEDED, make_task(), link, at) for at in [now()] * number]
    for event in events:
        await office.store.add_event(event)
    return [event.id for event in events]


async def replay(office: Office, subscription: Subscription) -> Replay:
    at: datetime = now()
    made = await office.store.add_replay(Replay(
        id=new_id("rpl"), account_id=ACCOUNT, subscription_id=subscription.id, until=at, created_at=at))
    assert made is not None
    return made


async def ended(office: Office, replay: Replay) -> Replay:
    with office.bell.listen("replays") as rung:
        while (found := await office.store.replay(ACCOUNT, replay.id)) and found.status is ReplayStatus.RUNNING:
            await rung.wait(0.05)
    assert found is not None
    return found


async def test_everything_that_happened_arrives_once_and_the_replay_is_done(office: Office) -> None:
    ids = await happened(office, 20)
    async with Receiver() as receiver:
        subscription = await office.subscribe(receiver.url)
        async with replaying(office):
            found = await ended(office, await replay(office, subscription))
    assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(ids)
    assert (found.status, found.total, found.done) == (ReplayStatus.DONE, 20, 20)


async def test_a_live_event_waits_behind_a_few_of_the_replay_only(office: Office) -> None:
    await happened(office, 40)
    gate = asyncio.Event()
    async with Receiver(Answer(until=gate)) as receiver:
        subscription = await office.subscribe(receiver.url)
        async with replaying(office, ahead=3):
            under_way = await replay(office, subscription)
            await receiver.wait_for_requests(1)
            [live] = await office.ping(subscription)
            gate.set()
            await ended(office, under_way)
    order = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(order) == 41
    assert order.index(live.event_id) <= 6


async def test_a_store_that_stumbles_is_asked_again(office: Office) -> None:
    await happened(office, 1)
    async with Receiver() as receiver:
        subscription = await office.subscribe(receiver.url)
        stumbling = Stumbling(office.store)
        await replay(office, subscription)
        async with replaying(office, stumbling):  # type: ignore[arg-type]
            await receiver.wait_for_requests(1)
    assert stumbling.looks > 1
