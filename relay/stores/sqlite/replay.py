"""Replays, carried out step by step.

What is to be told is looked for by the readers, a window of events at a time, so that no statement runs long whatever the history;
the writer only records what was found, after another look at whether it still holds. A step is taken when half of the
deliveries that may wait for their first attempt have had it, so that steps are few and live events wait behind few.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from relay.errors import Conflict
from relay.model import Delivery, DeliveryStatus, Event, EventType, Replay, ReplayStatus, Subscription
from relay.ports.page import Page
from relay.stores.matching import accepts, glob, wants
from relay.stores.sqlite.connection import Parameters, Readers, Row
from relay.stores.sqlite.page import FIRST_PAGE, page
from relay.stores.sqlite.routing import insert_deliveries
from relay.stores.sqlite.row import json_text, micros, read_event, read_replay, read_subscription, replay_row
from relay.stores.sqlite.subscription import find_subscription
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer

_WINDOW: Final = 5_000  # of `seq`, whosever events they are
_PAGE: Final = 200


class _Running(Struct, frozen=True, kw_only=True):
    """A replay under way."""

    replay: Replay
    subscription: Subscription
    at_seq: int
    untried: int


class _Found(Struct, frozen=True):
    """Events to be told, oldest first, and the last one that was looked at. `is_end`: there are no more behind it."""

    event_ids: list[str]
    at_seq: int
    is_end: bool


class Replays:
    """The replays' part of the store."""

    def __init__(self, readers: Readers, writer: Writer, new_id: Callable[[str], str]) -> None:
        self._readers = readers
        self._writer = writer
        self._new_id = new_id

    async def add_replay(self, replay: Replay) -> Replay | None:
        def add(transaction: Transaction) -> Replay | None:
            if find_subscription(transaction, replay.account_id, replay.subscription_id) is None:
                return None
            transaction.run(
                """INSERT INTO replays (id, account_id, subscription_id, since, until, delivery_status, types, status, created_at)
                VALUES (:id, :account_id, :subscription_id, :since, :until, :delivery_status, :types, :status, :created_at)""",
                replay_row(replay))
            transaction.ring("replays")
            return replay

        return await self._writer.write_alone(add)

    async def replay(self, account_id: str, replay_id: str) -> Replay | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM replays_shown WHERE id = :id AND account_id = :account_id", {"id": replay_id, "account_id": account_id})
        return None if row is None else read_replay(row)

    async def replays(self, account_id: str, subscription_id: str | None, *, limit: int, cursor: str | None = None) -> Page:
        parameters = {"account_id": account_id, "subscription_id": subscription_id, "cursor": cursor or FIRST_PAGE, "limit": limit + 1}
        if subscription_id is not None:
            rows = await self._readers.fetch(
                """SELECT * FROM replays_shown WHERE subscription_id = :subscription_id AND account_id = :account_id AND id < :cursor
                ORDER BY id DESC LIMIT :limit""", parameters)
        else:
            rows = await self._readers.fetch(
                "SELECT * FROM replays_shown WHERE account_id = :account_id AND id < :cursor ORDER BY id DESC LIMIT :limit", parameters)
        return page(rows, limit, read_replay)

    async def cancel_replay(self, account_id: str, replay_id: str, *, now: datetime) -> Replay | None:
        def cancel(transaction: Transaction) -> Replay | None:
            parameters = {"id": replay_id, "account_id": account_id, "now": micros(now)}
            before = _shown(transaction, parameters)
            if before is None or before.status is ReplayStatus.CANCELLED:
                return before
            if before.status is ReplayStatus.DONE:
                raise Conflict("This replay is done already.")
            transaction.run("UPDATE replays SET status = 'cancelled', completed_at = :now WHERE id = :id", parameters)
            transaction.run(
                """UPDATE deliveries SET status = 'cancelled', next_attempt_at = NULL, completed_at = :now
                WHERE replay_id = :id AND status IN ('pending', 'held')""", parameters)
            transaction.ring("replays")
            return _shown(transaction, parameters)

        return await self._writer.write_alone(cancel)

    async def replays_to_advance(self) -> Sequence[str]:
        rows = await self._readers.fetch(
            """SELECT replays.id FROM replays JOIN subscriptions ON subscriptions.id = replays.subscription_id
            WHERE replays.status = 'running' AND subscriptions.status = 'active'
            AND replays.subscription_id NOT IN (SELECT subscription_id FROM moves) AND NOT EXISTS (
                SELECT 1 FROM replays AS older WHERE older.subscription_id = replays.subscription_id AND older.seq < replays.seq
                AND older.status = 'running')""", {})
        return [row["id"] for row in rows]

    async def advance_replay(self, replay_id: str, *, ahead: int, now: datetime) -> bool:
        running = await self._running(replay_id)
        if running is None:
            return False
        if running.replay.total is None:
            await self._count(running)
            return True
        ahead = min(ahead, _width(running.subscription, ahead))
        if running.untried > ahead // 2:
            return False
        found = await self._find(running, ahead - running.untried)
        if found.event_ids:
            return await self._tell(running, found, now) and found.is_end
        return await self._end(running, now)

    async def _running(self, replay_id: str) -> _Running | None:
        row = await self._readers.fetch_one("SELECT * FROM replays_shown WHERE id = :id AND status = 'running'", {"id": replay_id})
        subscription = row and await self._readers.fetch_one(
            "SELECT * FROM subscriptions WHERE id = :id AND deleted_at IS NULL", {"id": row["subscription_id"]})
        if not row or not subscription:
            return None
        untried = await self._readers.fetch(
            "SELECT count(*) AS count FROM deliveries WHERE replay_id = :id AND status = 'pending' AND attempts = 0", {"id": replay_id})
        return _Running(replay=read_replay(row), subscription=read_subscription(subscription), at_seq=row["at_seq"],
                        untried=untried[0]["count"])

    async def _count(self, running: _Running) -> None:
        total = sum([len(rows) async for rows, _ in self._pages(running)])

        def record(transaction: Transaction) -> None:
            transaction.run("UPDATE replays SET total = :total WHERE id = :id", {"id": running.replay.id, "total": total})

        await self._writer.write_long(record)

    async def _find(self, running: _Running, limit: int) -> _Found:
        """The next events that it is about, at most `limit`."""
        found, at_seq = list[Row](), running.at_seq
        async with contextlib.aclosing(self._pages(running)) as pages:
            async for rows, looked_to in pages:
                found, at_seq = [*found, *rows], looked_to
                if len(found) >= limit:
                    return _Found([row["id"] for row in found[:limit]], found[limit - 1]["seq"], is_end=False)
        return _Found([row["id"] for row in found], at_seq, is_end=True)

    async def _pages(self, running: _Running) -> AsyncGenerator[tuple[list[Row], int]]:
        """The events that are still to be told, and how far was looked."""
        parameters, at_seq = _criteria(running), running.at_seq
        [last] = await self._readers.fetch("SELECT coalesce(max(seq), 0) AS seq FROM events WHERE account_id = :account_id", parameters)
        while at_seq < last["seq"]:
            rows = await self._look({**parameters, "at_seq": at_seq})
            at_seq = rows[-1]["seq"] if len(rows) == _PAGE else min(at_seq + _WINDOW, last["seq"])
            yield [row for row in rows if _fits(running, row)], at_seq

    async def _look(self, parameters: Parameters) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM (
                SELECT seq, id, account_id, type, created_at, x'' AS body, task_id, provider, metadata, subscription_id, about_id,
                (SELECT status FROM deliveries WHERE event_id = events.id AND subscription_id = :to_id ORDER BY seq DESC LIMIT 1)
                AS newest,
                (SELECT completed_at FROM deliveries WHERE event_id = events.id AND subscription_id = :to_id ORDER BY seq DESC LIMIT 1)
                AS newest_at
                FROM events WHERE account_id = :account_id AND seq > :at_seq AND seq <= :at_seq + :window AND created_at >= :since
                AND created_at < :until AND type IN (SELECT value FROM json_each(:types)) AND length(body) > 0)
            WHERE CASE WHEN :status IS NULL THEN newest IS NOT 'pending'
                ELSE newest = :status AND coalesce(newest_at, 0) <= :asked_at END ORDER BY seq LIMIT :limit""",
            parameters)

    async def _tell(self, running: _Running, found: _Found, now: datetime) -> bool:
        """False if it does not run any more, or waits."""
        parameters = {"id": running.replay.id, "to_id": running.subscription.id, "ids": json_text(found.event_ids),
                      "before": running.at_seq, "at_seq": found.at_seq, "now": micros(now)}

        def tell(transaction: Transaction) -> bool:
            if not transaction.fetch(
                    """SELECT 1 FROM replays JOIN subscriptions ON subscriptions.id = replays.subscription_id WHERE replays.id = :id
                    AND replays.status = 'running' AND at_seq = :before AND subscriptions.status = 'active'""", parameters):
                return False
            rows = transaction.fetch(
                "SELECT * FROM events WHERE id IN (SELECT value FROM json_each(:ids)) AND length(body) > 0 ORDER BY seq", parameters)
            transaction.run(
                """UPDATE deliveries SET status = 'cancelled', completed_at = :now WHERE subscription_id = :to_id
                AND event_id IN (SELECT value FROM json_each(:ids)) AND status = 'held'""", parameters)
            insert_deliveries(transaction, [self._delivery(read_event(row), running.replay, now) for row in rows])
            transaction.run(
                "UPDATE replays SET at_seq = :at_seq, made = made + :made WHERE id = :id", {**parameters, "made": len(rows)})
            return True

        return await self._writer.write_long(tell)

    def _delivery(self, event: Event, replay: Replay, now: datetime) -> Delivery:
        return Delivery(
            id=self._new_id("dlv"), account_id=event.account_id, event_id=event.id, event_type=event.type,
            subscription_id=replay.subscription_id, task_id=event.task_id, status=DeliveryStatus.PENDING, next_attempt_at=now,
            created_at=now, replay_id=replay.id)

    async def _end(self, running: _Running, now: datetime) -> bool:
        """False as long as something of it was not attempted yet. After it the subscription's next replay can go on."""
        def end(transaction: Transaction) -> bool:
            rows = transaction.fetch(
                """UPDATE replays SET status = 'done', total = made, completed_at = :now WHERE id = :id AND status = 'running'
                AND NOT EXISTS (SELECT 1 FROM deliveries WHERE replay_id = :id AND deliveries.status = 'pending' AND attempts = 0)
                RETURNING id""", {"id": running.replay.id, "now": micros(now)})
            return bool(rows)

        return await self._writer.write_long(end)


def _criteria(running: _Running) -> dict[str, Any]:
    replay, subscription = running.replay, running.subscription
    kinds = [kind for kind in EventType if _covers(replay.types, kind) and (replay.delivery_status or wants(subscription, kind))]
    return {
        "account_id": replay.account_id, "to_id": subscription.id, "since": micros(replay.since) if replay.since else 0,
        "until": micros(replay.until), "asked_at": micros(replay.created_at), "types": json_text(kinds),
        "status": replay.delivery_status, "window": _WINDOW, "limit": _PAGE,
    }


def _width(subscription: Subscription, normal: int) -> int:
    """How many may wait without keeping what happens meanwhile waiting for more than one round of attempts."""
    if subscription.ordered or subscription.rate_per_second is not None or subscription.slowness:
        return 1
    return subscription.max_concurrent or normal


def _covers(types: Sequence[str] | None, kind: EventType) -> bool:
    return types is None or any(glob(pattern, kind) for pattern in types)


def _fits(running: _Running, row: Row) -> bool:
    return running.replay.delivery_status is not None or accepts(running.subscription, read_event(row))


def _shown(transaction: Transaction, parameters: Parameters) -> Replay | None:
    row = transaction.fetch_one("SELECT * FROM replays_shown WHERE id = :id AND account_id = :account_id", parameters)
    return None if row is None else read_replay(row)
