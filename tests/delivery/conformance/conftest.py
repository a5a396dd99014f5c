"""The relay that a module of the suite shares: whole, behind a real server, on a real file. What a module wants otherwise in its
environment stands in its `SETTINGS`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.conftest import Running, anyio_backend, api, house, relay_in

__all__ = ["anyio_backend", "api", "house"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the relay of this module keeps its data."""
    return tmp_path_factory.mktemp("relay") / "data"


@pytest.fixture(scope="module")
async def running(request: pytest.FixtureRequest, folder: Path, anyio_backend: str) -> AsyncIterator[Running]:  # noqa: ARG001 -- the plugin wants it
    async with relay_in(folder, **getattr(request.module, "SETTINGS", {})) as running:
        yield running
