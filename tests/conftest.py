"""What all tests share."""

import signal

import pytest
from hypothesis import settings

# How long one example takes says something about the machine, not about Relay.
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")

# A shell that runs the tests in the background makes them ignore Ctrl-C, and so the processes that they start and stop with it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
