"""How a replay goes on, whatever it is stored in.

What is to be told is looked for a window of events at a time, so that no statement runs long whatever the history; what was found is
recorded in one step, after another look at whether it still holds. A step is taken when half of the deliveries that may wait for
their first attempt have had it, so that steps are few and live events wait behind few.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from msgspec import Struct

from relay.model import Delivery, DeliveryStatus, Event, EventType, Replay, Subscription
from relay.stores.matching import accepts, glob, wants
from relay.stores.row import Row, micros, read_event

_WINDOW: Final = 5_000  # of `seq`, whosever events they are
_PAGE: Final = 200


class Running(Struct, frozen=True, kw_only=True):
    """A replay under way."""

    replay: Replay
    subscription: Subscription
    at_seq: int
    untried: int


class Found(Struct, frozen=True):
    """Events to be told, oldest first, and the last one that was looked at. `is_end`: there are no more behind it."""

    event_ids: list[str]
    at_seq: int
    is_end: bool


class Steps(Protocol):
    """What a store does for it."""

    async def running(self, replay_id: str) -> Running | None: ...

    async def last_seq(self, account_id: str) -> int:
        """Of the account's events."""
        ...

    async def look(self, criteria: Mapping[str, Any]) -> Sequence[Row]:
        """Events within a window that the criteria let through."""
        ...

    async def record_total(self, running: Running, total: int) -> None: ...

    async def tell(self, running: Running, found: Found, now: datetime) -> bool:
        """False if it does not run any more, or waits."""
        ...

    async def end(self, running: Running, now: datetime) -> bool:
        """False as long as something of it was not attempted yet. After it the subscription's next replay can go on."""
        ...


async def advance(steps: Steps, replay_id: str, *, ahead: int, now: datetime) -> bool:
    """See ports.Replays."""
    running = await steps.running(replay_id)
    if running is None:
        return False
    if running.replay.total is None:
        await steps.record_total(running, sum([len(rows) async for rows, _ in _pages(steps, running)]))
        return True
    ahead = min(ahead, _width(running.subscription, ahead))
    if running.untried > ahead // 2:
        return False
    found = await _find(steps, running, ahead - running.untried)
    if found.event_ids:
        return await steps.tell(running, found, now) and found.is_end
    return await steps.end(running, now)


def told_again(event: Event, replay: Replay, new_id: Callable[[str], str], now: datetime) -> Delivery:
    """A new delivery of an event."""
    return Delivery(
        id=new_id("dlv"), account_id=event.account_id, event_id=event.id, event_type=event.type, subscription_id=replay.subscription_id,
        task_id=event.task_id, status=DeliveryStatus.PENDING, next_attempt_at=now, created_at=now, replay_id=replay.id)


async def _find(steps: Steps, running: Running, limit: int) -> Found:
    """The next events that it is about, at most `limit`."""
    found, at_seq = list[Row](), running.at_seq
    async with contextlib.aclosing(_pages(steps, running)) as pages:
        async for rows, looked_to in pages:
            found, at_seq = [*found, *rows], looked_to
            if len(found) >= limit:
                return Found([row["id"] for row in found[:limit]], found[limit - 1]["seq"], is_end=False)
    return Found([row["id"] for row in found], at_seq, is_end=True)


async def _pages(steps: Steps, running: Running) -> AsyncGenerator[tuple[list[Row], int]]:
    """The events that are still to be told, and how far was looked."""
    criteria, at_seq = _criteria(running), running.at_seq
    last_seq = await steps.last_seq(running.replay.account_id)
    while at_seq < last_seq:
        rows = await steps.look({**criteria, "at_seq": at_seq})
        at_seq = rows[-1]["seq"] if len(rows) == _PAGE else min(at_seq + _WINDOW, last_seq)
        yield [row for row in rows if _fits(running, row)], at_seq


def _criteria(running: Running) -> dict[str, Any]:
    replay, subscription = running.replay, running.subscription
    kinds = [kind for kind in EventType if _covers(replay.types, kind) and (replay.delivery_status or wants(subscription, kind))]
    return {
        "account_id": replay.account_id, "to_id": subscription.id, "since": micros(replay.since) if replay.since else 0,
        "until": micros(replay.until), "asked_at": micros(replay.created_at), "types": kinds,
        "status": replay.delivery_status, "window": _WINDOW, "limit": _PAGE,
    }


def _width(subscription: Subscription, normal: int) -> int:
    """How many may wait without keeping what happens meanwhile waiting for more than one round of attempts."""
    if subscription.ordered or subscription.rate_per_second is not None or subscription.slowness:
        return 1
    return subscription.max_concurrent or normal


def _covers(types: Sequence[str] | None, kind: EventType) -> bool:
    return types is None or any(glob(pattern, kind) for pattern in types)


def _fits(running: Running, row: Row) -> bool:
    return running.replay.delivery_status is not None or accepts(running.subscription, read_event(row))
