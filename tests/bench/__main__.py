"""`python -m tests.bench [SCENARIO…] [--short] [--out FOLDER]`."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench import (
    backlog,
    crash,
    growth,
    ingest,
    isolation,
    latency,
    memory,
    overload,
    pipeline,
    poll,
    polls,
    processes,
    profile,
    reference,
    shared_growth,
    soak,
    start,
    statements,
    submit,
)
from tests.bench.figure import Figure
from tests.bench.machine import Machine, this_machine
from tests.bench.plot import plot
from tests.bench.scale import FULL, SHORT, TINY, Scale
from tests.bench.table import table, write_json

SCENARIOS: Final[dict[str, Callable[[Scale], Coroutine[Any, Any, list[Figure]]]]] = {
    "reference": reference.measure, "ingest": ingest.measure, "pipeline": pipeline.measure, "latency": latency.measure,
    "submit": submit.measure, "poll": poll.measure, "polls": polls.measure, "overload": overload.measure,
    "isolation": isolation.measure, "growth": growth.measure, "backlog": backlog.measure, "start": start.measure,
    "memory": memory.measure, "statements": statements.measure, "profile": profile.measure,
    "processes": processes.measure, "shared-growth": shared_growth.measure,
}
_ONLY_IF_NAMED: Final = ("shared-growth",)
FORMS: Final = {"full": FULL, "short": SHORT, "tiny": TINY}
_BY_HAND: Final[dict[str, Callable[[], Coroutine[Any, Any, None]]]] = {"soak": soak.run, "crash": crash.run}


def main(arguments: Sequence[str]) -> int:
    if len(arguments) == 1 and arguments[0] in _BY_HAND:
        asyncio.run(_BY_HAND[arguments[0]]())
        return 0
    parser = _parser()
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.scenarios if name not in SCENARIOS]:
        parser.error(f"there is no {' or '.join(unknown)} among {', '.join(SCENARIOS)}")
    machine = this_machine()
    _tell(f"{machine}\n")
    folder = given.out or Path(tempfile.mkdtemp(prefix="relay-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    for name in given.scenarios or [name for name in SCENARIOS if name not in _ONLY_IF_NAMED]:
        figures += _measure(name, FORMS[given.form])
        _write(folder, machine, given.form, figures)  # each time: what comes later may fail
    _tell(f"\n{machine}\n\n{table(figures)}\n\n{folder}/bench.json, bench.md, bench.svg")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures Relay beside what its parts can do.",
                                     epilog=f"By hand, alone: {', '.join(_BY_HAND) or 'nothing'}.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO",
                        help=f"Some of {', '.join(SCENARIOS)}; without any: all but {_ONLY_IF_NAMED[0]}.")
    parser.add_argument("--short", dest="form", action="store_const", const="short", default="full", help="In two minutes.")
    parser.add_argument("--tiny", dest="form", action="store_const", const="tiny", help="In seconds: only to see that it runs.")
    parser.add_argument("--out", type=Path, help="The folder for table and plot; else one under the system's.")
    return parser


def _measure(name: str, scale: Scale) -> list[Figure]:
    begun = time.monotonic()
    measured = asyncio.run(SCENARIOS[name](scale))
    _tell(f"{table(measured)}\n{name} took {time.monotonic() - begun:.0f} s\n")
    return measured


def _write(folder: Path, machine: Machine, form: str, figures: Sequence[Figure]) -> None:
    write_json(folder / "bench.json", machine, form, figures)
    (folder / "bench.svg").write_text(plot(figures), encoding="utf-8")
    (folder / "bench.md").write_text(f"{machine}\n\n{table(figures)}\n", encoding="utf-8")


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
