"""The stores that the suite runs on: whatever `opener` opens has to pass every test here but those named after one database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from relay.bell import Bell
from relay.ports.store import Store
from relay.stores.sqlite import open_store
from tests.stores.making import Ids, Shelf, link

Opener = Callable[[Bell], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
def opener(tmp_path: Path) -> Opener:
    """Opens a store, each time on the same data."""
    ids = Ids()

    async def open_sqlite(bell: Bell) -> Store:
        return await open_store(tmp_path / "relay.db", bell=bell, link=link, new_id=ids)

    return open_sqlite


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
async def store(opener: Opener, bell: Bell) -> AsyncIterator[Store]:
    opened = await opener(bell)
    yield opened
    await opened.close()


@pytest.fixture
async def shelf(store: Store) -> Shelf:
    """The store with an account on it."""
    shelf = Shelf(store)
    await shelf.add_account("default")
    return shelf
