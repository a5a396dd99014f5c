"""The Relay that real clients of its drop-ins talk to: one for each module, because starting it takes longer than most tests."""

from collections.abc import AsyncIterator

import pytest

from tests.clients.relayed import Relayed, open_relay


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Relayed]:  # noqa: ARG001 -- the plugin wants it
    async with open_relay(tmp_path_factory.mktemp("relay"), RELAY_DROPIN_HOSTS="localhost=serevix") as relay:
        yield relay
