"""A process that the bench starts and speaks with, a line at a time."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tests.bench.load import Load, Order, Seen, Told

Value = TypeVar("Value")

PATIENCE: Final = 2400.0
_ROOT: Final = Path(__file__).parents[2]
_LONGEST_LINE: Final = 1 << 20


class Program:
    """`python -m tests.bench.NAME …`, running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, value: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(value) + b"\n")

    async def hear(self, kind: type[Value]) -> Value:
        """The next line that it says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a program of the bench has ended before its time; what it said stands above")
        return msgspec.json.decode(line, type=kind)


@contextlib.asynccontextmanager
async def running(name: str, *arguments: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.bench.{name}", *arguments, cwd=_ROOT, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, limit=_LONGEST_LINE)
    try:
        yield Program(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def drive(load: Load) -> Told:
    """What became of this load."""
    async with running("generator") as generator:
        generator.say(load)
        return await generator.hear(Told)


class Sink:
    """The receiver, from the bench's side."""

    def __init__(self, program: Program, port: int) -> None:
        self._program = program
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def expect(self, count: int, arrivals: Path | None = None) -> None:
        """Forget what came; the next `seen` is when so many have come from now on."""
        self._program.say(Order(expect=count, arrivals=str(arrivals) if arrivals else None))

    async def seen(self) -> Seen:
        return await self._program.hear(Seen)

    async def seen_so_far(self) -> Seen:
        self._program.say(Order())
        return await self.seen()


@contextlib.asynccontextmanager
async def open_sink(answer: str = "") -> AsyncIterator[Sink]:
    async with running("sink", answer) as program:
        yield Sink(program, await program.hear(int))
