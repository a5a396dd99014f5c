"""The bench still runs, and counts right. How fast anything was is not asked here: that says something about the machine."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from tests.bench.figure import Figure, least, most
from tests.bench.filling import post, write_requests
from tests.bench.load import Load, at_percent, between, times_of
from tests.bench.plot import plot, standing
from tests.bench.program import drive, open_sink
from tests.bench.table import table

pytestmark = pytest.mark.anyio

_ROOT = Path(__file__).parents[2]


def run_bench(folder: Path, *scenarios: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "tests.bench", *scenarios, "--tiny", "--out", str(folder)], cwd=_ROOT,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads((folder / "bench.json").read_text()))


def test_the_scenarios_of_the_callback_path_run_and_lose_nothing(tmp_path: Path) -> None:
    """They fail by themselves if an answer is not 200, or an event does not come."""
    told = run_bench(tmp_path, "ingest", "pipeline", "statements", "profile")
    named = {(figure["scenario"], figure["name"]): figure for figure in told["figures"]}
    assert named["ingest", "callbacks"]["runs"][0] > 0
    assert named["pipeline, 5 subscriptions", "deliveries"]["goal"] == "≥ 5,000"
    assert named["statements", "per event, amortised"]["median"] > 0
    assert ("profile", "processor time per event") in named
    ET.parse(tmp_path / "bench.svg")  # noqa: S314 -- our own


def test_polls_of_a_drop_in_are_all_answered(tmp_path: Path) -> None:
    """The scenario fails by itself if an answer is not 200."""
    named = {figure["name"]: figure for figure in run_bench(tmp_path, "polls")["figures"]}
    assert named["p50 at 200/s by link"]["goal"] == "≤ 5"


def test_the_store_and_the_backlog_can_still_be_filled_by_copies(tmp_path: Path) -> None:
    told = run_bench(tmp_path, "growth", "backlog")
    assert {figure["scenario"] for figure in told["figures"]} == {"growth", "backlog of 200"}


def test_several_processes_on_postgresql_run_and_lose_nothing(tmp_path: Path) -> None:
    told = run_bench(tmp_path, "processes", "shared-growth")
    figures = {figure["scenario"] for figure in told["figures"]}
    shared = {f"PostgreSQL, {number}" for number in ("1 process", "2 processes", "3 processes")}
    assert figures == {"SQLite, 1 process", "growth on PostgreSQL"} | shared


async def test_the_generator_sends_each_request_once_and_the_sink_sees_each(tmp_path: Path) -> None:
    keys = [f"task_{number:026d}" for number in range(300)]
    requests = tmp_path / "requests"
    requests.write_bytes(msgspec.msgpack.encode([(key, post("/", key.encode())) for key in keys]))
    async with asyncio.timeout(60), open_sink() as sink:
        sink.expect(len(keys), tmp_path / "arrivals")
        told = await drive(Load(port=sink.port, requests=str(requests), connections=8, stamps=str(tmp_path / "stamps")))
        seen = await sink.seen()
    came = msgspec.msgpack.decode((tmp_path / "arrivals").read_bytes(), type=list[tuple[str, float]])
    sent = msgspec.msgpack.decode((tmp_path / "stamps").read_bytes(), type=dict[str, float])
    assert (told.answers, told.answered.count) == ({200: 300}, 300)
    assert seen.count == 300
    assert sorted(key for key, _ in came) == keys == sorted(sent)
    assert between(sent, came).count == 300


@contextlib.asynccontextmanager
async def answering(request: bytes, *firsts: bytes, hold: float = 0.0) -> AsyncIterator[int]:
    """A server that says `firsts`, then only 200, the first of all after `hold` seconds; an empty answer cuts the connection. Its port."""
    answers = iter(firsts)
    holds = iter([hold])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readexactly(len(request)):
                await asyncio.sleep(next(holds, 0.0))
                if not (said := next(answers, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")):
                    break
                writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        yield server.sockets[0].getsockname()[1]


async def test_what_is_refused_or_cut_off_is_sent_again_and_counted(tmp_path: Path) -> None:
    request = post("/", b"{}")
    async with answering(request, b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", b"") as port:
        told = await drive(Load(port=port, requests=write_requests(tmp_path / "requests", [request] * 20), connections=2))
    assert (told.answers, told.refused, told.broken) == ({200: 20}, 1, 1)


async def test_a_stall_counts_for_all_that_were_to_be_sent_meanwhile(tmp_path: Path) -> None:
    request = post("/", b"{}")
    async with answering(request, hold=0.4) as port:
        load = Load(port=port, requests=write_requests(tmp_path / "requests", [request] * 20), connections=1, rate=100)
        told = await drive(load)
    assert told.answered.p50 > 250  # the tenth was due 0.3 seconds before the first was answered


async def test_at_a_fixed_pace_every_request_has_its_moment(tmp_path: Path) -> None:
    requests = write_requests(tmp_path / "requests", [post("/", b"{}")] * 50)
    async with asyncio.timeout(60), open_sink() as sink:
        told = await drive(Load(port=sink.port, requests=requests, rate=500, stamps=str(tmp_path / "stamps")))
    sent = sorted(msgspec.msgpack.decode((tmp_path / "stamps").read_bytes(), type=dict[str, float]).values())
    assert told.answers == {200: 50}
    assert [round(at - sent[0], 6) for at in sent] == [round(number / 500, 6) for number in range(50)]


def test_percentiles_and_bins_hold_every_span() -> None:
    times = times_of([0.001 * number for number in range(1, 101)])
    assert (times.p50, times.p99, times.most) == (50.0, 99.0, 100.0)
    assert sum(count for _, count in times.histogram) == 100
    assert at_percent([1.0], 99) == 1.0


def test_a_goal_is_met_on_its_own_side() -> None:
    quick = Figure(scenario="s", name="quick", unit="/s", runs=[3000, 4000, 5000], goal=least(3500))
    heavy = Figure(scenario="s", name="heavy", unit="MiB", runs=[150], goal=most(120))
    assert (quick.is_met, heavy.is_met) == (True, False)
    assert standing(4000, least(3500)) > 1 > standing(150, most(120))
    assert "| 4,000 /s | 3,000 to 5,000 | 3    | ≥ 3,500 | met    |" in table([quick, heavy])
    assert plot([quick, heavy]).count("<rect") == 3
