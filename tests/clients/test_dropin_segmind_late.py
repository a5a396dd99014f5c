"""A picture that takes longer than Segmind's clients wait: its SDK reads for 30 s, so Relay answers before that, and keeps the picture."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from tests.clients.relayed import Relayed, new_prompt, open_relay
from tests.clients.test_dropin_segmind import MODEL, Ask, Made, Refusal, ask_by_run, ask_by_run_sync, each_held
from tests.e2e.harness import ADMIN_KEY

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Relayed]:  # noqa: ARG001 -- the plugin wants it
    async with open_relay(tmp_path_factory.mktemp("relay"), RELAY_DROPIN_SEGMIND_HOLD="1s") as relay:
        yield relay


async def insist(asking: Callable[[], Awaitable[Made]]) -> Made:
    """What a client gets that asks again until it is not told that it is late."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await asking()
            except Refusal as exc:
                if exc.status != 504:
                    raise


@each_held
async def test_a_client_is_told_in_time_and_gets_the_picture_when_it_asks_again(relay: Relayed, ask: Ask) -> None:
    prompt = new_prompt("sandbox:slow=1.7")
    with pytest.raises(Refusal) as caught:
        await ask(relay, prompt)
    (task,) = await relay.tasks(prompt)
    assert caught.value.status == 504
    assert task["id"] in (caught.value.error or "")
    made = await insist(functools.partial(ask, relay, prompt))
    assert made.request_id == task["id"]
    assert await relay.bill("segmind", prompt) == (1, 1)


async def test_what_is_late_names_its_task_and_asks_not_to_be_repeated_at_once(relay: Relayed) -> None:
    prompt = new_prompt("sandbox:slow=1.7")
    async with httpx.AsyncClient(headers={"x-api-key": ADMIN_KEY}, timeout=20) as client:
        late = await client.post(f"{relay.base('segmind')}/v1/{MODEL}", json={"prompt": prompt})
        task_id = late.headers["x-relay-task-id"]
        told = await client.get(f"{relay.base('segmind')}/v2/requests/{task_id}", params={"wait": "20"})
    assert (late.status_code, list(late.json()), late.headers["x-should-retry"]) == (504, ["error"], "false")
    assert (told.json()["request_id"], told.json()["status"]) == (task_id, "COMPLETED")


async def test_of_equal_prompts_that_were_late_each_repeat_gets_one(relay: Relayed) -> None:
    prompt = new_prompt("sandbox:slow=1.7")
    late = await asyncio.gather(*(ask_by_run_sync(relay, prompt) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in late] == [Refusal] * 3
    made = await asyncio.gather(*(insist(functools.partial(ask_by_run_sync, relay, prompt)) for _ in range(3)))
    assert {one.request_id for one in made} == {task["id"] for task in await relay.tasks(prompt)}
    assert await relay.bill("segmind", prompt) == (3, 3)


async def test_version_2_holds_nothing_and_so_is_never_late(relay: Relayed) -> None:
    made = await ask_by_run(relay, prompt := new_prompt("sandbox:slow=2.5"))
    assert (await relay.task(prompt))["id"] == made.request_id
    assert await relay.bill("segmind", prompt) == (1, 1)
