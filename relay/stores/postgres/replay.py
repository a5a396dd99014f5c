"""Replays: recorded, and carried out step by step (see relay.stores.replaying).

A step makes deliveries, so it has the account's lock: what it finds to be so stays so until it is committed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from relay.errors import Conflict
from relay.model import Replay, ReplayStatus
from relay.ports.page import Page
from relay.stores.page import FIRST_PAGE, page
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.lock import lock_accounts
from relay.stores.postgres.routing import Router, insert_deliveries
from relay.stores.postgres.subscription import find_subscription
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.stores.replaying import Found, Running, advance, told_again
from relay.stores.row import Parameters, Row, micros, read_event, read_replay, read_subscription, replay_row


class Replays:
    """The replays' part of the store."""

    def __init__(self, readers: Readers, writer: Writer, router: Router, new_id: Callable[[str], str]) -> None:
        self._readers = readers
        self._writer = writer
        self._router = router
        self._new_id = new_id

    async def add_replay(self, replay: Replay) -> Replay | None:
        async def add(transaction: Transaction) -> Replay | None:
            await lock_accounts(transaction, [replay.account_id])
            if await find_subscription(transaction, replay.account_id, replay.subscription_id) is None:
                return None
            await transaction.run(
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
        async def cancel(transaction: Transaction) -> Replay | None:
            parameters = {"id": replay_id, "account_id": account_id, "now": micros(now)}
            await lock_accounts(transaction, [account_id])
            before = await _shown(transaction, parameters)
            if before is None or before.status is ReplayStatus.CANCELLED:
                return before
            if before.status is ReplayStatus.DONE:
                raise Conflict("This replay is done already.")
            await transaction.run("UPDATE replays SET status = 'cancelled', completed_at = :now WHERE id = :id", parameters)
            await transaction.run(
                """UPDATE deliveries SET status = 'cancelled', next_attempt_at = NULL, completed_at = :now
                WHERE replay_id = :id AND status IN ('pending', 'held')""", parameters)
            await self._router.forget(transaction, account_id)  # one of them may stand in line to be sent
            transaction.ring("replays")
            return await _shown(transaction, parameters)

        return await self._writer.write_alone(cancel)

    async def replays_to_advance(self) -> Sequence[str]:
        rows = await self._readers.fetch(
            """SELECT replays.id FROM replays JOIN subscriptions ON subscriptions.id = replays.subscription_id
            WHERE replays.status = 'running' AND subscriptions.status = 'active'
            AND replays.subscription_id NOT IN (SELECT subscription_id FROM moves) AND NOT EXISTS (
                SELECT FROM replays AS older WHERE older.subscription_id = replays.subscription_id AND older.seq < replays.seq
                AND older.status = 'running')""", {})
        return [row["id"] for row in rows]

    async def advance_replay(self, replay_id: str, *, ahead: int, now: datetime) -> bool:
        return await advance(self, replay_id, ahead=ahead, now=now)

    async def running(self, replay_id: str) -> Running | None:
        """See replaying.Steps, and so for the others below."""
        row = await self._readers.fetch_one("SELECT * FROM replays_shown WHERE id = :id AND status = 'running'", {"id": replay_id})
        subscription = row and await self._readers.fetch_one(
            "SELECT * FROM subscriptions WHERE id = :id AND deleted_at IS NULL", {"id": row["subscription_id"]})
        if not row or not subscription:
            return None
        untried = await self._readers.fetch(
            "SELECT count(*) AS count FROM deliveries WHERE replay_id = :id AND status = 'pending' AND attempts = 0", {"id": replay_id})
        return Running(replay=read_replay(row), subscription=read_subscription(subscription), at_seq=row["at_seq"],
                       untried=untried[0]["count"])

    async def last_seq(self, account_id: str) -> int:
        [last] = await self._readers.fetch(
            "SELECT coalesce(max(seq), 0) AS seq FROM events WHERE account_id = :account_id", {"account_id": account_id})
        seq: int = last["seq"]
        return seq

    async def look(self, criteria: Mapping[str, Any]) -> list[Row]:
        return await self._readers.fetch(
            """SELECT * FROM (
                SELECT seq, id, account_id, type, created_at, CAST('' AS bytea) AS body, task_id, provider, metadata, subscription_id,
                about_id,
                (SELECT status FROM deliveries WHERE event_id = events.id AND subscription_id = :to_id ORDER BY seq DESC LIMIT 1)
                AS newest,
                (SELECT completed_at FROM deliveries WHERE event_id = events.id AND subscription_id = :to_id ORDER BY seq DESC LIMIT 1)
                AS newest_at
                FROM events WHERE account_id = :account_id AND seq > :at_seq AND seq <= :at_seq + :window AND created_at >= :since
                AND created_at < :until AND type = ANY(CAST(:types AS text[])) AND length(body) > 0) AS event
            WHERE CASE WHEN CAST(:status AS text) IS NULL THEN newest IS DISTINCT FROM 'pending'
                ELSE newest = :status AND coalesce(newest_at, 0) <= :asked_at END ORDER BY seq LIMIT :limit""", criteria)

    async def record_total(self, running: Running, total: int) -> None:
        async def record(transaction: Transaction) -> None:
            await transaction.run("UPDATE replays SET total = :total WHERE id = :id", {"id": running.replay.id, "total": total})

        await self._writer.write_alone(record)

    async def tell(self, running: Running, found: Found, now: datetime) -> bool:
        parameters = {"id": running.replay.id, "to_id": running.subscription.id, "ids": found.event_ids,
                      "before": running.at_seq, "at_seq": found.at_seq, "now": micros(now)}

        async def tell(transaction: Transaction) -> bool:
            await lock_accounts(transaction, [running.replay.account_id])
            if not await transaction.fetch(
                    """SELECT 1 FROM replays JOIN subscriptions ON subscriptions.id = replays.subscription_id WHERE replays.id = :id
                    AND replays.status = 'running' AND at_seq = :before AND subscriptions.status = 'active'""", parameters):
                return False
            rows = await transaction.fetch(
                "SELECT * FROM events WHERE id = ANY(CAST(:ids AS text[])) AND length(body) > 0 ORDER BY seq", parameters)
            await transaction.run(
                """UPDATE deliveries SET status = 'cancelled', completed_at = :now WHERE subscription_id = :to_id
                AND event_id = ANY(CAST(:ids AS text[])) AND status = 'held'""", parameters)
            await insert_deliveries(transaction, [told_again(read_event(row), running.replay, self._new_id, now) for row in rows])
            await transaction.run(
                "UPDATE replays SET at_seq = :at_seq, made = made + :made WHERE id = :id", {**parameters, "made": len(rows)})
            return True

        return await self._writer.write_alone(tell)

    async def end(self, running: Running, now: datetime) -> bool:
        async def end(transaction: Transaction) -> bool:
            rows = await transaction.fetch(
                """UPDATE replays SET status = 'done', total = made, completed_at = :now WHERE id = :id AND status = 'running'
                AND NOT EXISTS (SELECT FROM deliveries WHERE replay_id = :id AND deliveries.status = 'pending' AND attempts = 0)
                RETURNING id""", {"id": running.replay.id, "now": micros(now)})
            return bool(rows)

        return await self._writer.write_alone(end)


async def _shown(transaction: Transaction, parameters: Parameters) -> Replay | None:
    row = await transaction.fetch_one("SELECT * FROM replays_shown WHERE id = :id AND account_id = :account_id", parameters)
    return None if row is None else read_replay(row)
