"""What one process on a shared PostgreSQL does holds on all of them; each does what its role says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from relay.stores.migrations import Migration, migrations
from relay.stores.postgres import migrate, schema
from tests.e2e.crowd import at_rest, audit
from tests.e2e.fleet import Fleet, open_fleet
from tests.e2e.harness import Api
from tests.postgres import PostgresServer

pytestmark = pytest.mark.anyio

_WITHIN: Final = 2.0
_PATIENCE: Final = 30.0
_WATCHED: Final = 150


async def _refuses(url: str, key: str) -> None:
    """Until this relay takes the key no more."""
    async with Api(url) as api:
        while (await api.get("/api/v1/me", headers={"authorization": f"Bearer {key}"})).status_code != 401:
            await asyncio.sleep(0.02)


async def test_a_key_that_is_revoked_on_one_is_refused_on_all(tmp_path: Path, postgres: PostgresServer) -> None:
    async with open_fleet(tmp_path, postgres.new_database()) as fleet:
        made = (await fleet.api.post("/api/v1/keys", json={"name": "short-lived", "scopes": ["read"]})).json()
        for relay in fleet.relays:
            async with Api(relay.url) as api:
                assert (await api.get("/api/v1/me", headers={"authorization": f"Bearer {made['key']}"})).status_code == 200
        assert (await fleet.api.delete(f"/api/v1/keys/{made['id']}")).is_success
        async with asyncio.timeout(_WITHIN):
            await asyncio.gather(*(_refuses(relay.url, made["key"]) for relay in fleet.relays))


async def _hear(url: str, heard: list[str]) -> None:
    """Every event's id, in the order in which the stream of this relay tells them."""
    async with Api(url) as api, api.stream("GET", "/api/v1/events/stream", params={"last_event_id": "evt_0"}, timeout=None) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("id: ") and line != "id: evt_0":
                heard.append(line.removeprefix("id: "))  # noqa: PERF401 -- it is looked at meanwhile


@contextlib.asynccontextmanager
async def _hearing(fleet: Fleet) -> AsyncIterator[list[list[str]]]:
    """A stream of each relay."""
    heard: list[list[str]] = [[] for _ in fleet.relays]
    tasks = [asyncio.create_task(_hear(relay.url, ids), name="stream") for relay, ids in zip(fleet.relays, heard, strict=True)]
    try:
        yield heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_stream_of_any_of_them_tells_every_event_in_the_same_order(tmp_path: Path, postgres: PostgresServer) -> None:
    async with open_fleet(tmp_path, postgres.new_database()) as fleet, _hearing(fleet) as heard:
        await fleet.crowd.watch(_WATCHED)
        await fleet.crowd.call_back()
        told = set((await at_rest(fleet.api)).deliveries["delivered"])
        async with asyncio.timeout(_PATIENCE):
            while any(len(ids) < len(told) for ids in heard):
                await asyncio.sleep(0.05)
        assert set(heard[0]) == told
        assert heard[0] == heard[1] == heard[2]


async def test_each_process_does_what_its_role_says_and_together_they_do_it_all(tmp_path: Path, postgres: PostgresServer) -> None:
    async with open_fleet(tmp_path, postgres.new_database(), roles=["api", "worker", "api"]) as fleet:
        async with Api(fleet.relays[1].url) as worker:
            assert (await worker.get("/readyz")).json() == {"status": "ok", "role": "worker"}
            assert [(await worker.get(path)).status_code for path in ("/healthz", "/metrics")] == [200, 200]
            assert [(await worker.get(path)).status_code for path in ("/api/v1/tasks", "/", "/images/img_1")] == [404, 404, 404]
            assert (await worker.post("/callbacks/kie/x", json={})).status_code == 404
        assert (await fleet.api.get("/readyz")).json() == {"status": "ok", "role": "api"}
        is_over = asyncio.Event()
        submitting = asyncio.create_task(fleet.crowd.submit(is_over, fleet.chance, 0.1), name="submits")
        await fleet.crowd.watch(_WATCHED)
        await fleet.crowd.call_back()
        is_over.set()
        await submitting
        assert audit(await at_rest(fleet.api, fleet.studio), fleet.crowd, fleet.inbox, fleet.studio).problems == []
        assert {row async for row in _holders(fleet)} == {"worker"}


async def _holders(fleet: Fleet) -> AsyncIterator[str]:
    """The roles of those who have duties."""
    connection = await asyncpg.connect(fleet.database)
    try:
        for row in await connection.fetch("SELECT role FROM duties JOIN processes ON processes.id = duties.holder"):
            yield row["role"]
    finally:
        await connection.close()


async def test_a_process_that_was_taken_for_dead_stops_and_the_others_go_on(tmp_path: Path, postgres: PostgresServer) -> None:
    async with open_fleet(tmp_path, postgres.new_database(), count=2) as fleet:
        connection = await asyncpg.connect(fleet.database)
        try:
            await connection.execute("DELETE FROM processes WHERE id = (SELECT holder FROM duties LIMIT 1)")
        finally:
            await connection.close()
        assert await fleet.relays[0].ended() == 1
        assert "CRITICAL" in fleet.logs[0].read_text()
        await fleet.crowd.watch(20)
        await fleet.crowd.call_back()
        assert audit(await at_rest(fleet.api), fleet.crowd, fleet.inbox).problems == []


_NEWER: Final = Migration(9999, "9999_colours", """ALTER TABLE tasks ADD COLUMN colour text;
ALTER TABLE deliveries ADD COLUMN colour text NOT NULL DEFAULT 'none';
CREATE TABLE colours (name text PRIMARY KEY);
INSERT INTO migrations (number, name) VALUES (9999, '9999_colours');
COMMIT;""")


async def test_an_older_version_goes_on_beside_the_schema_of_a_newer_one(
        tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_fleet(tmp_path, postgres.new_database(), count=2) as fleet:
        await fleet.crowd.watch(_WATCHED)
        calls = asyncio.create_task(fleet.crowd.call_back(0.05), name="callbacks")
        await fleet.crowd.until(lambda crowd: len(crowd.acknowledged) >= _WATCHED // 3)
        monkeypatch.setattr(schema, "migrations", lambda dialect: [*migrations(dialect), _NEWER])
        assert await asyncio.to_thread(migrate, fleet.database) == [_NEWER.name]
        await calls
        await fleet.relays[0].stop()
        await fleet.relays[0].start()  # one that is started anew meanwhile is no obstacle either
        await fleet.crowd.watch(20)
        await fleet.crowd.call_back()
        assert audit(await at_rest(fleet.api), fleet.crowd, fleet.inbox).problems == []
