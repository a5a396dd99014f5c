"""What the parts can do by themselves, measured in the same run; and that generator and sink can do far more than is asked."""

import tempfile
from pathlib import Path

from tests.bench.figure import Figure
from tests.bench.filling import post, write_requests
from tests.bench.load import Load, Told
from tests.bench.program import drive, open_sink, running
from tests.bench.scale import Scale
from tests.bench.yardstick import BODY


async def measure(scale: Scale) -> list[Figure]:
    seconds = scale.reference_seconds
    empty, bare, shares, sinks, written, posted = [], [], [], [], [], []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        for run in range(scale.runs):
            empty.append((await empty_endpoint(seconds, folder)).rate)
            told, sink_share = await _bare_responder(seconds, folder)
            bare.append(told.rate)
            shares.append(told.cpu_share)
            sinks.append(sink_share)
            written.append(await _bare_writer(seconds, folder / f"written-{run}.db"))
            posted.append(await _bare_client(seconds))
    return [
        Figure(scenario="reference", name="empty endpoint", unit="/s", runs=empty),
        Figure(scenario="reference", name="generator to sink", unit="/s", runs=bare),
        Figure(scenario="reference", name="CPU of the generator then", unit="cores", runs=shares),
        Figure(scenario="reference", name="CPU of the sink then", unit="cores", runs=sinks),
        Figure(scenario="reference", name="bare group-commit writer", unit="rows/s", runs=written),
        Figure(scenario="reference", name="bare client loop", unit="posts/s", runs=posted),
    ]


async def empty_endpoint(seconds: float, folder: Path, *, rate: float | None = None) -> Told:
    async with running("yardstick", "endpoint") as program:
        port = await program.hear(int)
        load = Load(port=port, requests=_filler(folder), seconds=seconds / 3)
        await drive(load)  # warm
        return await drive(Load(port=port, requests=_filler(folder), seconds=seconds, rate=rate))


async def _bare_responder(seconds: float, folder: Path) -> tuple[Told, float]:
    async with open_sink() as sink:
        sink.expect(1 << 60)
        told = await drive(Load(port=sink.port, requests=_filler(folder), seconds=seconds))
        seen = await sink.seen_so_far()
        return told, seen.cpu_seconds / told.seconds


async def _bare_writer(seconds: float, path: Path) -> float:
    async with running("yardstick", "writer", str(path), str(seconds)) as program:
        return await program.hear(float)


async def _bare_client(seconds: float) -> float:
    async with open_sink() as sink, running("yardstick", "client", str(sink.port), str(seconds)) as program:
        return await program.hear(float)


def _filler(folder: Path) -> str:
    return write_requests(folder / "filler", [post("/", BODY)])
