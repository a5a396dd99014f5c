"""`python -m tests.bench NAME`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tests.bench import isolation

_BENCHES: Final[dict[str, Callable[[], Coroutine[Any, Any, None]]]] = {"isolation": isolation.run}


def main() -> int:
    bench = _BENCHES.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if bench is None:
        sys.stderr.write(f"usage: python -m tests.bench {'|'.join(_BENCHES)}\n")
        return 2
    asyncio.run(bench())
    return 0


sys.exit(main())
