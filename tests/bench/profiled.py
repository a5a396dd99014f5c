"""`python -m tests.bench.profiled FILE serve …`: Relay, looked at after each few milliseconds of processor time that it took; FILE holds
at its end how often it was found in which of its parts, and how many seconds it took.

How often it is looked at is up to the kernel's clock, so the looks tell shares and not times. The look is a signal's handler,
which Python runs between two steps of its own, so that what a call into C took falls to whoever made it. Profilers from outside
stop the process for each look, and find it in its system calls more often than it is.
"""

import atexit
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from relay.cli import main

_SECONDS: Final = 0.001  # no kernel looks more often
_PARTS: Final = (
    ("log lines", ("/relay/observe/log.py", "/logging/")),
    ("figures for metrics", ("/relay/observe/", "/prometheus_client/")),
    ("SQL statements", ("/stores/sqlite/transaction.py", "/stores/sqlite/connection.py")),
    ("the store around them", ("/relay/stores/", "/relay/view.py", "/relay/lifecycle.py")),
    ("HTTP out", ("/relay/net/", "/relay/deadline.py")),
    ("lanes, signing, judging, settling", ("/relay/delivery/", "/relay/signing.py")),
    ("verifying, reading and redacting", ("/relay/tasks/", "/relay/providers/")),
    ("HTTP in: routes, bodies, answers", ("/relay/web/", "/starlette/")),
    ("HTTP in: uvicorn", ("/uvicorn/", "/relay/cli/connection.py", "/relay/cli/together.py")),
)
_REST: Final = "the event loop and the rest"

_found: Counter[str] = Counter()


def part_of(frame: FrameType | None) -> str:
    """The innermost part that is at work."""
    while frame is not None:
        file = frame.f_code.co_filename
        for part, places in _PARTS:
            if any(place in file for place in places):
                return part
        frame = frame.f_back
    return _REST


def _look(_number: int, frame: FrameType | None) -> None:
    _found[part_of(frame)] += 1


if __name__ == "__main__":
    found = Path(sys.argv.pop(1))
    atexit.register(lambda: found.write_bytes(msgspec.json.encode({"looks": _found, "seconds": time.process_time()})))
    signal.signal(signal.SIGPROF, _look)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)
    main()
