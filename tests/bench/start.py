"""From nothing to ready, with files that are in memory already."""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.figure import Figure, most
from tests.bench.scale import Scale
from tests.bench.stage import environment
from tests.e2e.harness import free_port
from tests.e2e.shell import environment as shell_environment
from tests.e2e.shell import running


async def measure(scale: Scale) -> list[Figure]:
    await asyncio.to_thread(_serve_once)  # warm
    imports = [await asyncio.to_thread(_import_once) for _ in range(scale.starts)]
    serves = [await asyncio.to_thread(_serve_once) for _ in range(scale.starts)]
    return [
        Figure(scenario="start", name="import relay", unit="s", runs=imports, goal=most(1.0)),
        Figure(scenario="start", name="relay serve to ready, new folder", unit="s", runs=serves, goal=most(1.0)),
    ]


def _import_once() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import relay"], env=shell_environment(), check=True)
    return time.monotonic() - begun


def _serve_once() -> float:
    """Until it takes connections, which is when it says where it is."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        begun = time.monotonic()
        with running("serve", cwd=Path(name), **environment(Path(name), free_port())) as relay:
            ready = time.monotonic()
            relay.end()
        return ready - begun
