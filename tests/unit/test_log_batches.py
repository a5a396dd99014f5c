"""When log lines are written: many at a time, in order, and none is lost."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections import Counter

import pytest

from relay.observe.log import MASK, set_up_logging
from tests.unit.logs import logged, logging_as_before

pytestmark = pytest.mark.usefixtures(logging_as_before.__name__)


class Stream(io.StringIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in self.getvalue().splitlines()]


@pytest.fixture
def stream() -> Stream:
    stream = Stream()
    set_up_logging(style="json", level="info", stream=stream)
    return stream


log = logging.getLogger("relay.test")


@pytest.fixture(autouse=True)
def _no_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a moment is written in the next turn of the loop."""
    monkeypatch.setattr("relay.observe.log._MOMENT", 0.0)


async def a_moment() -> None:
    for _ in range(2):
        await asyncio.sleep(0)


@pytest.mark.anyio
async def test_the_lines_of_one_moment_are_written_at_once_at_its_end_and_in_order(stream: Stream) -> None:
    for number in range(5):
        log.info("%d", number)
    assert stream.writes == 0
    await a_moment()
    assert (stream.writes, stream.messages()) == (1, ["0", "1", "2", "3", "4"])
    log.info("5")
    await a_moment()
    assert (stream.writes, stream.messages()[-1]) == (2, "5")


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.anyio
async def test_a_line_tells_what_was_true_when_it_was_logged(style: str) -> None:
    stream = logged(style)
    told = ["before"]
    log.info("%s", told, extra={"field": told})
    told[:] = ["after"]
    await a_moment()
    assert stream.getvalue().count("before") == 2
    assert "after" not in stream.getvalue()


@pytest.mark.anyio
async def test_a_line_waits_for_a_moment_and_no_longer(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.observe.log._MOMENT", 0.05)
    log.info("first")
    await a_moment()
    log.info("second")
    assert stream.writes == 0
    async with asyncio.timeout(10):
        while not stream.writes:
            await asyncio.sleep(0.005)
    assert (stream.writes, stream.messages()) == (1, ["first", "second"])


@pytest.mark.anyio
async def test_only_so_many_lines_wait(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.observe.log._MOST_WAITING", 10)
    for number in range(25):
        log.info("%d", number)
    assert (stream.writes, len(stream.messages())) == (2, 20)


def test_what_waits_when_the_process_ends_is_written() -> None:
    program = """
import asyncio, logging
from relay.observe.log import set_up_logging

async def say():
    logging.getLogger("relay.test").info("the last")

set_up_logging(style="json", level="info")
asyncio.run(say())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(ended.stderr)["message"] == "the last"


@pytest.mark.anyio
async def test_what_cannot_be_made_into_a_line_later_costs_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    stream = logged("json")
    for words in ("%s", "%d", "%s again"):
        log.info(words, "said")
    await a_moment()
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["said", "said again"]
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.anyio
async def test_secrets_are_masked_in_whichever_lines_of_a_turn_they_are(style: str) -> None:
    stream = logged(style)
    for said in ("first", "Bearer", "/callbacks/kie/leak-1", "Bearer leak-2", f"/callbacks/kie/{MASK}", "last"):
        log.info("said %s", said)
    await a_moment()
    assert "leak" not in stream.getvalue()
    assert stream.getvalue().count(MASK) == 3
    assert [line.rpartition("said ")[2].rstrip('"}') for line in stream.getvalue().splitlines()] == [
        "first", "Bearer", f"/callbacks/kie/{MASK}", f"Bearer {MASK}", f"/callbacks/kie/{MASK}", "last"]


@pytest.mark.anyio
async def test_a_warning_does_not_wait_and_takes_along_what_was_waiting(stream: Stream) -> None:
    log.info("first")
    log.warning("second")
    assert stream.messages() == ["first", "second"]
    log.info("third")
    await a_moment()
    assert stream.messages() == ["first", "second", "third"]


def test_outside_of_a_loop_each_line_is_written_at_once(stream: Stream) -> None:
    for number in range(3):
        log.info("%d", number)
        assert stream.writes == number + 1


def test_what_a_loop_left_behind_comes_with_the_next_line_in_another_loop_or_in_none(stream: Stream) -> None:
    for number in range(2):
        loop = asyncio.new_event_loop()
        loop.call_soon(log.info, f"left by {number}")
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()

    async def say() -> None:
        log.info("in another loop")

    assert stream.messages() == []
    asyncio.run(say())
    assert stream.messages() == ["left by 0", "left by 1", "in another loop"]


@pytest.mark.anyio
async def test_a_line_of_another_thread_does_not_wait_for_the_loop(stream: Stream) -> None:
    log.info("of the loop")
    thread = threading.Thread(target=log.info, args=("of a thread",))
    thread.start()
    thread.join()
    assert stream.messages() == ["of the loop", "of a thread"]


@pytest.mark.anyio
async def test_of_many_threads_and_a_loop_no_line_is_lost_torn_or_out_of_its_order(stream: Stream) -> None:
    def say(name: int) -> None:
        for number in range(500):
            log.info("%d %d", name, number)

    async with asyncio.TaskGroup() as group:
        for name in range(4):
            group.create_task(asyncio.to_thread(say, name), name=f"thread {name}")
        for number in range(500):
            log.info("4 %d", number)
            await asyncio.sleep(0)
    await a_moment()
    said = [message.split(" ") for message in stream.messages()]
    for name in range(5):
        assert [int(number) for who, number in said if who == str(name)] == list(range(500))


@pytest.mark.anyio
async def test_a_line_that_comes_while_others_are_being_written_comes_after_them() -> None:
    class Dawdling(Stream):
        def write(self, text: str) -> int:
            if not self.writes:
                other.start()
                other.join(0.2)  # it must not come through, so there is nothing to wait for
            return super().write(text)

    other = threading.Thread(target=log.info, args=("second",))
    set_up_logging(style="json", level="info", stream=(stream := Dawdling()))
    log.info("first")
    await a_moment()
    other.join()
    assert stream.messages() == ["first", "second"]


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_stream_that_was_closed_stops_nobody(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    stream = logged(style)
    stream.close()
    log.error("nobody hears this")
    logging.getLogger().handlers[0].flush()
    assert capsys.readouterr().err == ""


def test_a_reader_that_went_away_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    set_up_logging(style="json", level="info", stream=Broken())
    log.error("nobody hears this")
    assert capsys.readouterr().err == ""


@pytest.mark.anyio
async def test_what_is_logged_while_a_line_is_being_made_comes_before_it(stream: Stream) -> None:
    class Chatty:
        def __init__(self) -> None:
            self.words = ["of the argument"]

        def __str__(self) -> str:
            if self.words:
                log.warning(self.words.pop())
            return "second"

    log.info("first")
    log.info("%s", Chatty())
    await a_moment()
    assert stream.messages() == ["first", "of the argument", "second"]


def test_what_cannot_be_logged_does_not_stop_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    stream = logged("json")
    log.info("%d", "no number")
    log.info("goes on")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["goes on"]
    assert "Logging error" in capsys.readouterr().err


def test_of_the_same_warning_a_few_are_written_and_of_other_lines_all(stream: Stream) -> None:
    for number in range(9):
        log.warning("cannot claim %d", number)
        log.info("goes on")
        log.error("it broke")
    assert Counter(message.split(" ")[0] for message in stream.messages()) == {"cannot": 5, "goes": 9, "it": 9}


def test_a_record_reads_its_arguments_as_any_other_does(stream: Stream) -> None:
    log.info("%(a)s and %(b)d", {"a": "x", "b": 2})
    log.info("{} %s alone")
    log.info("%s", {})
    assert stream.messages() == ["x and 2", "{} %s alone", "{}"]
