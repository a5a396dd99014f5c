"""What the sandbox counts, and the faults that concern the submission itself."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from relay.ports import Parameter, Rate
from relay.providers.sandbox.crew import Crew
from relay.providers.sandbox.faults import MAX_RATE_LIMIT, MAX_SLOW, Faults, read_faults
from relay.providers.sandbox.fields import problem_with
from relay.providers.sandbox.job import Job, Jobs, State
from relay.providers.sandbox.ledger import Ledger
from relay.providers.sandbox.pace import Window
from relay.providers.sandbox.picture import size_for_ratio
from relay.providers.sandbox.refusal import Refused
from relay.providers.value import loosened
from tests.providers.sandboxed import QUICK, SUBMIT, Client, running_sandbox

pytestmark = pytest.mark.anyio

each_provider = pytest.mark.parametrize("provider", SUBMIT)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running_sandbox() as client:
        yield client


async def billed(client: Client, provider: str, count: int) -> None:
    async with asyncio.timeout(10):
        while (await client.ledger(provider))[2] < count:
            await asyncio.sleep(0.02)


@each_provider
async def test_what_is_received_accepted_and_billed_is_counted_in_all_and_for_each_prompt(client: Client, provider: str) -> None:
    one, other = f"one {QUICK}", f"other {QUICK}"
    for prompt in (one, one, other):
        assert (await client.submit(provider, prompt)).status_code == 200
    await client.submit(provider, one, key="bad")
    await billed(client, provider, 3)
    assert await client.ledger(provider) == (4, 3, 3, 0)
    assert await client.ledger(provider, one) == (3, 2, 2, 0)
    assert await client.ledger(provider, other) == (1, 1, 1, 0)
    assert set((await client.get("/ledger")).json()) == set(SUBMIT)


@each_provider
async def test_the_first_submissions_of_a_prompt_can_be_limited(client: Client, provider: str) -> None:
    prompt = f"a sandbox:rate-limit=2 {QUICK}"
    assert [(await client.submit(provider, prompt)).status_code for _ in range(4)] == [429, 429, 200, 200]
    assert (await client.submit(provider, f"another {prompt}")).status_code == 429


@each_provider
async def test_a_dropped_answer_is_of_work_that_was_done_and_billed(client: Client, provider: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.submit(provider, f"a sandbox:drop-answer {QUICK}")
    assert await client.ledger(provider) == (1, 1, 1, 0)


@pytest.mark.parametrize("provider", ["segmind", "yescale"])
async def test_the_work_goes_on_when_the_client_of_a_held_connection_has_gone(client: Client, provider: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await client.post(SUBMIT[provider], json={"prompt": "a sandbox:slow=0.4"}, timeout=0.2,
                          headers={"x-api-key": "k", "authorization": "Bearer k"})
    await billed(client, provider, 1)


async def test_a_stop_awaits_what_a_client_is_waiting_for_and_gives_up_the_rest() -> None:
    crew, stopping, ends = Crew(), asyncio.Event(), []

    async def work(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        ends.append(name)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        run = group.create_task(crew.run(stopping))
        await asyncio.sleep(0)
        held = crew.start(work("held", 0.1), "held")
        crew.start(work("forgotten", 60), "forgotten")
        waiting = group.create_task(crew.wait_for(held))
        left = crew.start(work("left", 60), "left")
        leaving = group.create_task(crew.wait_for(left))
        await asyncio.sleep(0)
        leaving.cancel()
        stopping.set()
        await asyncio.wait({run, waiting})
    assert ends == ["held"]
    assert left.cancelled()
    with pytest.raises(Refused):
        crew.start(work("late", 0), "late")


async def test_nothing_can_be_submitted_where_nobody_runs_the_sandbox() -> None:
    crew = Crew()
    with pytest.raises(Refused):
        crew.start(asyncio.sleep(0), "early")


@pytest.mark.parametrize(("prompt", "faults"), [
    ("a lighthouse", Faults()),
    ("a sandbox:moderated lighthouse", Faults(moderated=True)),
    ("sandbox:error,sandbox:no-credits", Faults(error=True, no_credits=True)),
    ("SANDBOX:error sandbox:errors sandbox:error-x mysandbox:error sandbox:error=1", Faults()),
    ("(sandbox:slow=1.5)", Faults(slow=1.5)),
    ("sandbox:slow=0", Faults(slow=0.0)),
    ("sandbox:slow=9999 sandbox:rate-limit=999999", Faults(slow=MAX_SLOW, rate_limit=MAX_RATE_LIMIT)),
    ("sandbox:slow sandbox:slow= sandbox:slow=-1 sandbox:rate-limit=1.5", Faults()),
    ("sandbox:rate-limit=2 sandbox:rate-limit=3.", Faults(rate_limit=3)),
    ("sandbox:drop-answer\nsandbox:expired-image sandbox:early-callback. sandbox:late-progress!",
     Faults(drop_answer=True, expired_image=True, early_callback=True, late_progress=True)),
])
def test_faults_are_whole_words_of_the_prompt(prompt: str, faults: Faults) -> None:
    assert read_faults(prompt) == faults


def test_a_window_allows_so_many_in_so_many_seconds_for_each_key() -> None:
    window = Window(Rate(2, 10.0))
    assert [window.take("a", moment) for moment in (0, 1, 2, 9.9, 10, 10.5, 11)] == [True, True, False, False, True, False, True]
    assert window.take("b", 11)
    assert all(Window(None).take("a", 0) for _ in range(100))


def job(number: int, prompt: str = "a", key: str = "k") -> Job:
    return Job(id=str(number), key=key, prompt=prompt, seed=1, faults=Faults(), drawings=(), order={},
               created_at=datetime(2026, 3, 1, tzinfo=UTC), started=0, duration=1)


def test_only_the_latest_jobs_are_remembered() -> None:
    jobs = Jobs()
    for number in range(10_002):
        one = job(number)
        jobs.add(one)
        jobs.end(one, State.DONE, one.created_at)
    assert [jobs.get(str(number)) is None for number in (0, 1, 2, 10_001)] == [True, True, False, False]
    assert jobs.running("k") == 0
    assert not jobs.is_full


def test_long_prompts_count_for_more_and_too_many_running_are_too_many() -> None:
    jobs = Jobs()
    running = [job(number, "x" * 1_000_000, key=str(number)) for number in range(20)]
    for one in running:
        jobs.add(one)
    assert jobs.is_full
    assert jobs.get("0") is None
    assert jobs.get("19") is not None
    for one in running:
        jobs.leave(one)
    assert not jobs.is_full


def test_the_ledger_forgets_old_prompts_and_keeps_the_totals() -> None:
    ledger = Ledger(["kie"])
    for number in range(10_001):
        ledger.receive("kie")
        ledger.receive_prompt("kie", str(number))
    assert ledger.show()["kie"].received == 10_001
    assert ledger.show("0")["kie"].received == 0
    assert ledger.show("10000")["kie"].received == 1


@pytest.mark.parametrize(("value", "kind", "expected"), [
    ("true", "boolean", True), ("0", "boolean", False), (1, "boolean", True), ("yes", "boolean", "yes"), (2, "boolean", 2),
    ("12", "integer", 12), (" 12 ", "integer", 12), ("-1.5", "number", -1.5), ("1e5", "number", "1e5"), ("", "integer", ""),
    ("٣", "integer", "٣"), (None, "integer", None), ("12", "string", "12"),
])
def test_text_becomes_what_its_field_wants(value: Any, kind: Any, expected: Any) -> None:
    assert loosened({"f": value, "other": "1"}, {"f": Parameter(type=kind)}) == {"f": expected, "other": "1"}


@pytest.mark.parametrize(("value", "rule", "is_wrong"), [
    (True, Parameter(type="integer"), True), (1.0, Parameter(type="integer"), False), (1e300, Parameter(type="integer", maximum=9), True),
    (32.0, Parameter(type="integer", multiple_of=32), False), (33, Parameter(type="integer", multiple_of=32), True),
    ("ab", Parameter(type="string", max_length=1), True), ("a", Parameter(type="string", enum=("b",)), True),
    ("ax", Parameter(type="string", pattern="a"), True), ([], Parameter(type="string"), True),
])
def test_a_value_is_judged_by_its_rule(value: Any, rule: Parameter, *, is_wrong: bool) -> None:
    assert (problem_with(value, rule) is not None) == is_wrong


@pytest.mark.parametrize("ratio", ["21:9", "16:9", "4:3", "1:1", "3:4", "9:16", "9:21"])
def test_a_ratio_makes_about_a_megapixel(ratio: str) -> None:
    width, height = size_for_ratio(ratio)
    across, down = map(int, ratio.split(":"))
    assert abs(width / height / (across / down) - 1) < 0.02
    assert abs(width * height / 1024**2 - 1) < 0.03
    assert width % 16 == height % 16 == 0
