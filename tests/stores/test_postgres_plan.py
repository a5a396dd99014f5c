"""How PostgreSQL finds its rows among a hundred thousand that are finished: by what the server counted, triggers and foreign keys
included, and by what it says that it would do for any parameters."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import asyncpg
import pytest

from relay.bell import Bell
from relay.stores.postgres import migrate
from tests.postgres import PostgresServer
from tests.stores.conftest import postgres_opener
from tests.stores.history import GROWING, TASKS, make_history
from tests.stores.making import Shelf
from tests.stores.uses import USES

pytestmark = pytest.mark.anyio

Statement = tuple[str, tuple[Any, ...]]

_FEW: Final = 2_000
"""Rows read one after another in all: of such tables only what an index gave. The history alone has fifty times as many of each."""

_INDEXES: Final[Mapping[str, set[str]]] = {
    "claim_submissions": {"tasks_queued", "tasks_running", "tasks_sent"}, "claim_polls": {"tasks_polled"}, "doubtful": {"tasks_doubtful"},
    "claim_deliveries": {"deliveries_due"}, "recover": {"tasks_leased", "deliveries_leased"}, "settle": {"deliveries_id_unique"},
    "apply": {"tasks_id_unique"}, "task_for_callback": {"tasks_id_unique"}, "tasks": {"tasks_listed"}, "deliveries": {"deliveries_listed"},
    "events": {"events_listed"}, "events_since": {"events_listed"}, "last_event_id": {"events_listed"}, "callbacks": {"callbacks_listed"},
    "timeline": {"notes_of_task", "callbacks_of_task", "events_of_task", "deliveries_of_task", "attempts_of_delivery"},
}
"""What is there for them among the indexes of the tables that grow."""


_BY_PARAMETERS: Final = {"expired_tasks"}
"""How to look for it best hangs on how much there is: the server plans it for its parameters each time, as long as that is cheaper."""


@pytest.fixture(scope="module")
def full_database(postgres: PostgresServer) -> str:
    url = postgres.new_database()
    migrate(url)
    asyncio.run(make_history(url))
    return url


@pytest.fixture(scope="module")
def asked() -> set[str]:
    """The statements whose plans were looked at already: each use begins with the same ones."""
    return set()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Statement]]:
    """Every statement with parameters that is run from now on."""
    seen: list[Statement] = []
    with monkeypatch.context() as patched:
        for name in ("fetch", "execute"):
            patched.setattr(asyncpg.Connection, name, _recorded(getattr(asyncpg.Connection, name), seen))
        yield seen


def _recorded(run: Any, seen: list[Statement]) -> Any:
    async def recorded(self: Any, sql: str, *given: Any, **how: Any) -> Any:
        if given:
            seen.append((sql, given))
        return await run(self, sql, *given, **how)

    return recorded


@pytest.mark.parametrize("name", USES)
async def test_rows_are_found_by_index(name: str, full_database: str, statements: list[Statement], asked: set[str]) -> None:
    await _forget_what_is_new(full_database)
    before = await _counted(full_database)
    await _use(full_database, name)
    ran = {sql: given for sql, given in statements if sql not in asked}
    asked.update(ran)
    after = await _counted(full_database)
    grown = {counted: after[counted] - before[counted] for counted in after}
    assert [table for table in GROWING if grown[table] > _FEW] == []
    assert {index for index in _INDEXES.get(name, ()) if not grown[index]} == set()
    assert name in _BY_PARAMETERS or await _read_whole(full_database, ran) == []


async def _use(url: str, name: str) -> None:
    store = await postgres_opener(url)(Bell())
    try:
        shelf = Shelf(store)
        await shelf.add_account("default")
        await shelf.subscribe(id="sub_500")
        await shelf.add_task()
        await shelf.add_open_task(id="task_500")
        await USES[name][0](shelf)
    finally:
        await store.close()


async def _counted(url: str) -> dict[str, int]:
    """Rows of each table that were read one after another, and how often each index was used. Who has left has told."""
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval(
                """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
                AND pid <> pg_backend_pid()"""):
            await asyncio.sleep(0.005)
        rows = await connection.fetch(
            """SELECT relname AS name, seq_tup_read AS count FROM pg_stat_user_tables
            UNION ALL SELECT indexrelname, idx_scan FROM pg_stat_user_indexes""")
        return {row["name"]: row["count"] for row in rows}
    finally:
        await connection.close()


async def _read_whole(url: str, ran: Mapping[str, tuple[Any, ...]]) -> list[str]:
    """The statements that would read a table that grows from the first row to the last, whatever the parameters."""
    connection = await asyncpg.connect(url)
    try:
        return [sql for sql, given in ran.items() if _reads_whole(await _plan(connection, sql, given))]
    finally:
        await connection.close()


async def _plan(connection: asyncpg.Connection, sql: str, given: tuple[Any, ...]) -> Mapping[str, Any]:
    [explained] = json.loads(await connection.fetchval(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {sql}", *given))
    plan: Mapping[str, Any] = explained["Plan"]
    return plan


def _reads_whole(plan: Mapping[str, Any]) -> bool:
    return any(node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING for node in _nodes(plan))


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


async def _forget_what_is_new(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")
        for table in GROWING:
            await connection.execute(f"DELETE FROM {table} WHERE seq > {TASKS}")  # noqa: S608 -- the names are our own
        for table in ("subscriptions", "accounts"):
            await connection.execute(f"DELETE FROM {table} WHERE id NOT LIKE '%_old%'")  # noqa: S608 -- as above
        for table in ("lanes", "moves", "replays", "idempotency", "calls", "alarms", "counts", "processes", "duties", "keys"):
            await connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- as above
    finally:
        await connection.close()
