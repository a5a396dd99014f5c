"""A store and a worker's surroundings for the tests of the outbound half."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.bell import Bell
from relay.ids import new_id
from relay.model import Account
from relay.net.fetch import GuardedSession
from relay.stores.sqlite import open_store
from tests.delivery.made import ACCOUNT, NOW, link
from tests.delivery.office import Office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    bell, session = Bell(), GuardedSession()
    store = await open_store(tmp_path / "relay.db", bell=bell, link=link, new_id=new_id)
    await store.recover()
    await store.add_account(Account(id=ACCOUNT, name="default", created_at=NOW))
    yield Office(store, bell, session)
    await session.close()
    await store.close()


@pytest.fixture
async def session(anyio_backend: object) -> AsyncIterator[GuardedSession]:  # noqa: ARG001 -- the plugin wants it
    made = GuardedSession()
    yield made
    await made.close()
