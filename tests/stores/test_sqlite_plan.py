"""How SQLite finds its rows: from an index each time, and for what runs often from one that holds only what is not finished."""

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relay.bell import Bell
from relay.stores.sqlite import SqliteStore, open_store
from relay.stores.sqlite.connection import Parameters, Readers, Row
from relay.stores.sqlite.transaction import Transaction
from tests.stores.making import Ids, Shelf, link
from tests.stores.uses import USES

pytestmark = pytest.mark.anyio

Statement = tuple[str, Parameters]


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    """Every statement that the store runs from now on."""
    seen: list[Statement] = []
    fetch_in, fetch, run = Transaction.fetch, Readers.fetch, Transaction.run

    def in_transaction(self: Transaction, sql: str, parameters: Parameters) -> list[Row]:
        seen.append((sql, parameters))
        return fetch_in(self, sql, parameters)

    async def by_reader(self: Readers, sql: str, parameters: Parameters) -> list[Row]:
        seen.append((sql, parameters))
        return await fetch(self, sql, parameters)

    def alone(self: Transaction, sql: str, parameters: Parameters) -> None:
        seen.append((sql, parameters))
        run(self, sql, parameters)

    monkeypatch.setattr(Transaction, "fetch", in_transaction)
    monkeypatch.setattr(Transaction, "run", alone)
    monkeypatch.setattr(Readers, "fetch", by_reader)
    return seen


@pytest.fixture
async def shelf(tmp_path: Path) -> Any:
    store: SqliteStore = await open_store(tmp_path / "relay.db", bell=Bell(), link=link, new_id=Ids())
    shelf = Shelf(store)
    await shelf.add_account("default")
    await shelf.subscribe(id="sub_500")
    await shelf.add_task()
    await shelf.add_open_task(id="task_500")
    yield shelf
    await store.close()


@pytest.mark.parametrize("name", USES)
async def test_rows_are_found_by_index(name: str, shelf: Shelf, statements: list[Statement], tmp_path: Path) -> None:
    use, expected = USES[name]
    await use(shelf)
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        steps = [step for sql, parameters in statements for step in plan(connection, sql, parameters)]
    tables = [step for step in steps if re.match(r"(SCAN|SEARCH) (?!wanted|given|json_each|CONSTANT|\(subquery)", step)]
    assert tables
    assert [step for step in tables if step.startswith("SCAN") and not is_partial(step)] == []
    assert expected <= {found[1] for step in steps if (found := re.search(r"INDEX (\w+)", step))}


def plan(connection: sqlite3.Connection, sql: str, parameters: Parameters) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def is_partial(step: str) -> bool:
    """A walk over an index that holds only what is not finished; or over accounts, moves and the one probe, which are few."""
    few = r"INDEX (tasks_queued_due|tasks_running|lanes_due|deliveries_pending|replays_running)|SCAN (probe|accounts|moves)"
    return bool(re.search(few, step))


@pytest.mark.parametrize("name", ["sealed_secrets", "claim_polls", "claim_deliveries",
                                  "events", "events_since", "tasks", "deliveries", "claim_submissions"])
async def test_what_is_read_in_order_is_not_sorted(name: str, shelf: Shelf, statements: list[Statement], tmp_path: Path) -> None:
    await USES[name][0](shelf)
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        steps = [step for sql, parameters in statements for step in plan(connection, sql, parameters)]
    assert [step for step in steps if "TEMP B-TREE" in step] == []


async def test_a_thousand_subscriptions_are_read_once_and_not_for_every_change(shelf: Shelf, statements: list[Statement]) -> None:
    await asyncio.gather(*(shelf.subscribe(events=("task.failed",)) for _ in range(1_000)))
    tasks = [await shelf.add_open_task() for _ in range(5)]
    statements.clear()
    for task in tasks:
        await shelf.finish(task)
    assert len([sql for sql, _ in statements if "FROM subscriptions WHERE account_id" in sql]) == 1
    assert len(statements) <= 3 * len(tasks)


async def test_a_change_of_a_subscription_makes_the_store_read_them_again(shelf: Shelf, statements: list[Statement]) -> None:
    for _ in range(3):
        await shelf.subscribe()
        await shelf.finish(await shelf.add_open_task())
    assert len([sql for sql, _ in statements if "FROM subscriptions WHERE account_id = :account_id AND task_id" in sql]) == 3
