"""The valve: how many callbacks may be under way is found out by how long they take, and who comes past that is told so at once."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

import pytest
from starlette.types import Message, Receive, Scope, Send

from relay.web import valve
from relay.web.body import IS_WHOLE
from relay.web.valve import Valve

pytestmark = pytest.mark.anyio

FEWEST, FIRST = 32, 256
CALLBACK = "/callbacks/kie/token"
WHOLE: Final[tuple[Message, ...]] = ({"type": "http.request"},)


class Tally:
    """A meter that counts."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def count(self, name: str, amount: float = 1, /, **_labels: str) -> None:
        self.counted[name] += int(amount)

    def observe(self, name: str, seconds: float, /, **labels: str) -> None: ...

    def set(self, name: str, value: float, /, **labels: str) -> None: ...


class Slow:
    """An application that reads a body and then takes as long as it is told, behind the valve. Its clock is ours. `knows`: its server says
    so if it has all of a body."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, knows: bool) -> None:
        self.now = 1000.0
        self._knows = knows
        self.meter = Tally()
        self.may_answer = asyncio.Event()
        self.valve = Valve(self._app, meter=self.meter)
        self._tasks: list[asyncio.Task[int]] = []
        monkeypatch.setattr(valve, "time", self)

    def monotonic(self) -> float:
        return self.now

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        if scope["path"].endswith("/broken"):
            raise ValueError
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def call(self, path: str = CALLBACK, *, body: Iterable[Message] = WHOLE, told: Any = None,
                   rest: asyncio.Event | None = None) -> int:
        """The status of the answer. `told`: a list for what was sent. `body` comes after `rest`; past its end nothing ever comes."""
        coming, sent = iter(body), [] if told is None else told

        async def receive() -> Message:
            if rest:
                await rest.wait()
            for message in coming:
                return message
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        said = {IS_WHOLE: True} if self._knows and body is WHOLE and rest is None else {}
        await self.valve({"type": "http", "method": "POST", "path": path, "headers": [], **said}, receive, send)
        return int(sent[0]["status"])

    async def begin(self, number: int, path: str = CALLBACK, **how: Any) -> list[asyncio.Task[int]]:
        """So many at once, each as far as it gets by itself."""
        begun = [asyncio.get_running_loop().create_task(self.call(path, **how), name="call") for _ in range(number)]
        self._tasks += begun
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return begun

    async def let_in(self, number: int = 5000) -> int:
        """How many of so many that come at once were let in; they have been answered when this returns."""
        self.may_answer.clear()
        begun = await self.begin(number)
        refused = sum(task.done() for task in begun)
        self.may_answer.set()
        await asyncio.gather(*begun)
        return number - refused

    async def take(self, seconds: float, *, times: int = 1) -> None:
        """One at a time that takes this long, so often."""
        for _ in range(times):
            self.may_answer.clear()
            [begun] = await self.begin(1)
            self.now += seconds
            self.may_answer.set()
            await begun


@pytest.fixture(params=[False, True], ids=["any server", "ours"])
async def slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch, knows=request.param)


async def test_a_slow_one_lets_a_quarter_fewer_in_and_quick_ones_let_more_in_again(slow: Slow) -> None:
    async with slow:
        assert await slow.let_in() == FIRST
        await slow.take(0.2)
        cut = await slow.let_in()
        assert FIRST * 0.75 <= cut < FIRST
        await slow.take(0.1, times=5000)
        assert await slow.let_in() > 1.5 * FIRST


async def test_those_that_began_before_the_last_cut_do_not_cut_again(slow: Slow) -> None:
    async with slow:
        begun = await slow.begin(100)
        slow.now += 0.2
        slow.may_answer.set()
        await asyncio.gather(*begun)
        assert FIRST * 0.75 <= await slow.let_in() < FIRST


async def test_however_slow_it_is_a_few_are_let_in_and_however_quick_not_all(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    async with slow:
        await slow.take(60, times=50)
        assert await slow.let_in() == FEWEST
    monkeypatch.setattr(valve, "_MOST", 300.0)
    async with slow:
        await slow.take(0, times=5000)
        assert await slow.let_in() == 300


async def test_once_those_under_way_are_answered_the_next_are_let_in(slow: Slow) -> None:
    async with slow:
        await slow.begin(FIRST)
        assert await slow.call() == 503
        slow.may_answer.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await slow.call() == 200


async def test_one_that_breaks_is_not_under_way_any_more(slow: Slow) -> None:
    async with slow:
        for _ in range(2):
            ended = await asyncio.gather(*await slow.begin(FIRST, "/callbacks/kie/broken"), return_exceptions=True)
            assert {type(each) for each in ended} == {ValueError}


async def test_a_refusal_is_a_problem_that_says_when_to_come_again_and_reads_no_body(slow: Slow) -> None:
    async with slow:
        await slow.begin(FIRST)
        told: list[Message] = []
        assert await slow.call(body=(), told=told) == 503  # it would wait for the body for ever
        headers = dict(told[0]["headers"])
        assert int(headers[b"retry-after"]) >= 1
        assert headers[b"content-type"] == b"application/problem+json"
        assert json.loads(told[1]["body"])["code"] == "unavailable"


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/healthz", "/callbacks", "/", "/x/callbacks/kie/token"])
async def test_what_is_no_callback_is_never_refused_and_takes_no_place(slow: Slow, path: str) -> None:
    async with slow:
        others = await slow.begin(2 * FIRST, path)
        await slow.begin(FIRST)
        assert await slow.call() == 503
        others += await slow.begin(10, path)
        slow.may_answer.set()
        assert set(await asyncio.gather(*others)) == {200}


async def test_one_whose_body_does_not_come_takes_no_place_and_is_not_slow(slow: Slow) -> None:
    async with slow:
        await slow.begin(3 * FIRST, body=({"type": "http.request", "body": b"x", "more_body": True},))
        slow.now += 20
        assert await slow.let_in() == FIRST


async def test_a_body_that_took_long_does_not_make_its_callback_slow(slow: Slow) -> None:
    async with slow:
        rest = asyncio.Event()
        [coming] = await slow.begin(1, rest=rest)
        slow.now += 20
        rest.set()
        slow.may_answer.set()
        await coming
        assert await slow.let_in() >= FIRST


async def test_each_refusal_is_counted_and_the_log_speaks_of_them_once_a_second(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    async with slow:
        await slow.begin(FIRST)
        for pause in (0, 0, 0.9, 0.2, 0, 1.0):
            slow.now += pause
            assert await slow.call() == 503
    assert slow.meter.counted == {"relay_callbacks_shed_total": 6}
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == [f"{number} callbacks were told to come again: {FIRST} are under way" for number in (1, 3, 2)]
