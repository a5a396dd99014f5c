"""The event loops that Relay runs on: what touches timers and transports is tested on both."""

import pytest

BOTH_LOOPS = pytest.mark.parametrize("anyio_backend", ["asyncio", pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
