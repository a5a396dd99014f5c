"""What all tests share."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import PostgresServer

# How long one example takes says something about the machine, not about Relay.
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")

# A shell that runs the tests in the background makes them ignore Ctrl-C, and so the processes that they start and stop with it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests that need one, started with the first of them."""
    with PostgresServer() as server:
        yield server
