"""`python -m tests.e2e.skewed serve …`: Relay on a machine whose clock is wrong by SKEW_SECONDS."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from relay import app
from relay.cli import main

_SKEW: Final = timedelta(seconds=float(os.environ.get("SKEW_SECONDS", "0")))
_real_time_ns: Final = time.time_ns


def _now() -> datetime:
    return datetime.fromtimestamp(_real_time_ns() / 1_000_000_000, UTC) + _SKEW


def _time_ns() -> int:
    return _real_time_ns() + int(_SKEW.total_seconds()) * 1_000_000_000


def _time() -> float:
    return _time_ns() / 1_000_000_000


if __name__ == "__main__":
    time.time, time.time_ns = _time, _time_ns
    vars(app)["_now"] = _now
    main()
