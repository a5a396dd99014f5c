"""What the figures were measured on: they say little without it."""

import os
import platform
import sqlite3
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from msgspec import Struct

from relay import __version__
from tests.bench.load import at_percent

_SYNCS: Final = 200
_KIBIBYTES_IN_GIBIBYTE: Final = 1 << 20
_PAGE: Final = b"x" * 4096


class Machine(Struct, frozen=True, kw_only=True):
    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    python: str
    sqlite: str
    uvloop: str
    relay: str
    sync_p50_ms: float
    load_before: float

    def __str__(self) -> str:
        return (f"{self.cores} cores, {self.cpu}, {self.memory_gib:.0f} GiB, Linux {self.kernel}, Python {self.python}, "
                f"SQLite {self.sqlite}, uvloop {self.uvloop}, Relay {self.relay}\n"
                f"fdatasync of a 4 KiB append: p50 {self.sync_p50_ms:.2f} ms; load of the machine before the start: {self.load_before:.2f}")


def this_machine() -> Machine:
    return Machine(
        cores=os.cpu_count() or 0, cpu=_after("/proc/cpuinfo", "model name"),
        memory_gib=int(_after("/proc/meminfo", "MemTotal").split()[0]) / _KIBIBYTES_IN_GIBIBYTE,
        kernel=platform.release(), python=platform.python_version(), sqlite=sqlite3.sqlite_version, uvloop=version("uvloop"),
        relay=__version__, sync_p50_ms=_sync_ms(), load_before=os.getloadavg()[0])


def _after(path: str, name: str) -> str:
    found = (line.partition(":")[2].strip() for line in Path(path).read_text().splitlines() if line.startswith(name))
    return next(found, "0 unknown")


def _sync_ms() -> float:
    """Where the bench's files are."""
    with tempfile.TemporaryFile(prefix="relay-bench-", buffering=0) as file:
        return at_percent(sorted(_sync_once(file.fileno()) for _ in range(_SYNCS)), 50)


def _sync_once(handle: int) -> float:
    os.write(handle, _PAGE)
    begun = time.perf_counter()
    os.fdatasync(handle)
    return (time.perf_counter() - begun) * 1000
