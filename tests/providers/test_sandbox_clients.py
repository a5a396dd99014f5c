"""Relay's own clients against the sandbox: what a stand-in says, its client reads."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.errors import Fate, ProviderError, Unreadable
from relay.model import ErrorCode, Task, TaskStatus, Update
from relay.ports import CallbackTarget, InputImage, Provider, ProviderConfig
from relay.providers import PROVIDERS
from tests.clients.stage import Stage, open_stage
from tests.providers.cases import new_task

pytestmark = pytest.mark.anyio

ASYNCHRONOUS = ("serevix", "apiframe", "kie")
HELD = ("segmind", "yescale")
CALLING = ("apiframe", "kie")
HMAC_KEY = "key-of-the-callbacks"
SECRET = "secret-of-this-task"
SIZES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "serevix": ({"width": 256, "height": 512}, (256, 512)),
    "apiframe": ({"width": 300, "height": 500}, (300, 500)),
    "segmind": ({"width": 263, "height": 300}, (256, 304)),
    "kie": ({"aspect_ratio": "1:1"}, (1024, 1024)),
    "yescale": ({"width": 512, "height": 768}, (512, 768)),
}


class Hook:
    """Takes callbacks."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self._arrived = asyncio.Condition()

    async def take(self, request: Request) -> Response:
        body = await request.body()
        async with self._arrived:
            self.received.append((dict(request.headers), body))
            self._arrived.notify_all()
        return Response()

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)


class Scene:
    """The sandbox, and clients that are set up for it."""

    def __init__(self, stage: Stage, hook: Hook) -> None:
        self.url = stage.url
        self.hook = hook
        self.http = httpx.AsyncClient(trust_env=False, verify=False)  # noqa: S501 -- plain http, and certificates take long to load
        self._clients: dict[tuple[str, str], Provider] = {}

    def client(self, name: str, *, key: str = "any") -> Provider:
        if (name, key) not in self._clients:
            config = ProviderConfig(
                api_key=key, base_url=f"{self.url}/{name}", timeout=10, webhook_hmac_key=HMAC_KEY if name == "kie" else None)
            self._clients[name, key] = PROVIDERS[name](config, user_agent="relay/test", clock=lambda: datetime.now(UTC))
        return self._clients[name, key]

    async def submit(self, name: str, prompt: str, *, key: str = "any", calls_back: bool = False, image: InputImage | None = None,
                     **fields: Any) -> Update:
        target = CallbackTarget(url=f"{self.url}/hook", secret=SECRET) if calls_back else None
        client = self.client(name, key=key)
        return await client.submit(new_task(name, prompt=prompt, model=self.model(name), **fields), image=image, callback=target)

    async def run(self, name: str, prompt: str, **fields: Any) -> Update:
        """The last word on a task: the answer, or what its query says in the end."""
        update = await self.submit(name, prompt, **fields)
        async with asyncio.timeout(10):
            while not update.status.is_final:
                await asyncio.sleep(0.05)
                update = await self.client(name).fetch(self.task(name, update))
        return update

    async def refusal(self, name: str, prompt: str, **fields: Any) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await self.submit(name, prompt, **fields)
        return caught.value

    def task(self, name: str, update: Update) -> Task:
        return new_task(name, provider_task_id=update.provider_task_id)

    def model(self, name: str) -> str:
        return next(model.name for model in self.client(name).describe().models if model.default)

    async def ledger(self, name: str) -> dict[str, int]:
        return dict((await self.http.get(f"{self.url}/ledger")).json()[name])

    async def close(self) -> None:
        await self.http.aclose()
        for client in self._clients.values():
            await client.aclose()

    async def bytes_of(self, update: Update, number: int = 0) -> bytes:
        """A picture that a task brought, from its link if need be."""
        picture = update.pictures[number]
        return picture.data or (await self.http.get(picture.url or "")).content


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    hook = Hook()
    async with open_stage(kie_hmac_key=HMAC_KEY, routes=[Route("/hook", hook.take, methods=["POST"])]) as stage:
        scene = Scene(stage, hook)
        yield scene
        await scene.close()


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_success_brings_a_picture_of_the_size_that_was_asked_for(scene: Scene, name: str) -> None:
    given, expected = SIZES[name]
    update = await scene.run(name, "a lighthouse sandbox:slow=0.1", input=given)
    assert (update.status, len(update.pictures)) == (TaskStatus.SUCCEEDED, 1)
    assert Image.open(io.BytesIO(await scene.bytes_of(update))).size == expected
    assert await scene.ledger(name) == {"received": 1, "accepted": 1, "billed": 1, "callbacks_sent": 0}


@pytest.mark.parametrize("name", ASYNCHRONOUS)
@pytest.mark.parametrize(("word", "code"), [("moderated", ErrorCode.MODERATED), ("error", ErrorCode.PROVIDER_ERROR)])
async def test_a_failure_is_told_by_the_query_and_costs_nothing(scene: Scene, name: str, word: str, code: ErrorCode) -> None:
    update = await scene.run(name, f"sandbox:{word} sandbox:slow=0.1")
    assert update.status is TaskStatus.FAILED
    assert update.error is not None
    assert update.error.code == code
    assert (await scene.ledger(name))["billed"] == 0


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize(("word", "code"), [("moderated", ErrorCode.MODERATED), ("error", ErrorCode.PROVIDER_ERROR)])
async def test_a_failure_is_the_held_answer_and_costs_nothing(scene: Scene, name: str, word: str, code: ErrorCode) -> None:
    refusal = await scene.refusal(name, f"sandbox:{word} sandbox:slow=0.1")
    assert (refusal.reason, refusal.fate) == (code, Fate.REFUSED)
    assert await scene.ledger(name) == {"received": 1, "accepted": 1, "billed": 0, "callbacks_sent": 0}


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(("prompt", "key", "reason", "fate"), [
    pytest.param("a lighthouse", "bad-key", ErrorCode.AUTHENTICATION, Fate.REFUSED, id="bad key"),
    pytest.param("sandbox:no-credits", "any", ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED, id="no credits"),
    pytest.param("sandbox:rate-limit=1", "any", ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED, id="rate limit"),
])
async def test_a_refused_submission_starts_nothing(scene: Scene, name: str, prompt: str, key: str, reason: ErrorCode, fate: Fate) -> None:
    refusal = await scene.refusal(name, prompt, key=key)
    assert (refusal.reason, refusal.fate) == (reason, fate)
    assert await scene.ledger(name) == {"received": 1, "accepted": 0, "billed": 0, "callbacks_sent": 0}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_submission_is_taken_after_the_asked_for_rate_limits(scene: Scene, name: str) -> None:
    prompt = "sandbox:rate-limit=2 sandbox:slow=0.1"
    assert [(await scene.refusal(name, prompt)).reason for _ in range(2)] == [ErrorCode.RATE_LIMITED] * 2
    assert (await scene.run(name, prompt)).status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_cut_connection_leaves_the_outcome_unknown(scene: Scene, name: str) -> None:
    refusal = await scene.refusal(name, "sandbox:drop-answer sandbox:slow=0.1")
    assert refusal.fate is Fate.UNKNOWN
    assert await scene.ledger(name) == {"received": 1, "accepted": 1, "billed": 1, "callbacks_sent": 0}


@pytest.mark.parametrize("name", ["apiframe", "segmind"])
async def test_a_slow_task_takes_as_long_as_it_was_told(scene: Scene, name: str) -> None:
    started = asyncio.get_running_loop().time()
    assert (await scene.run(name, "sandbox:slow=1.6")).status is TaskStatus.SUCCEEDED
    assert asyncio.get_running_loop().time() - started >= 1.6


@pytest.mark.parametrize("name", CALLING)
@pytest.mark.parametrize(("word", "status"), [("", TaskStatus.SUCCEEDED), ("sandbox:moderated", TaskStatus.FAILED)])
async def test_a_callback_is_authentic_and_says_what_the_query_says(scene: Scene, name: str, word: str, status: TaskStatus) -> None:
    submitted = await scene.submit(name, f"a lighthouse {word}", calls_back=True)
    updates = await _callbacks(scene, name, submitted)
    assert (updates[-1].status, updates[-1].provider_task_id) == (status, submitted.provider_task_id)
    asked = await scene.client(name).fetch(scene.task(name, submitted))
    assert [picture.url for picture in updates[-1].pictures] == [picture.url for picture in asked.pictures]
    assert updates[-1].error == asked.error


async def test_apiframe_tells_progress_before_the_end(scene: Scene) -> None:
    submitted = await scene.submit("apiframe", "a lighthouse", calls_back=True)
    *before, last = await _callbacks(scene, "apiframe", submitted)
    assert [update.status for update in before] == [TaskStatus.PROCESSING] * len(before)
    assert all(0 < (update.progress or 0) < 100 for update in before)
    assert before
    assert last.status is TaskStatus.SUCCEEDED


async def _callbacks(scene: Scene, name: str, submitted: Update) -> list[Update]:
    """What was told about a task until its end, each callback proved to be the provider's."""
    client, task = scene.client(name), scene.task(name, submitted)
    updates: list[Update] = []
    while not updates or not updates[-1].status.is_final:
        await scene.hook.holds(len(updates) + 1)
        headers, body = scene.hook.received[len(updates)]
        assert client.is_authentic(headers, body, secrets=[SECRET], task=task)
        updates.append(client.read_callback(headers, body))
    return updates


@pytest.mark.parametrize("name", CALLING)
async def test_a_bad_secret_is_not_authentic(scene: Scene, name: str) -> None:
    submitted = await scene.submit(name, "sandbox:bad-secret sandbox:slow=0.1", calls_back=True)
    await scene.hook.holds(1)
    headers, body = scene.hook.received[-1]
    assert not scene.client(name).is_authentic(headers, body, secrets=[SECRET], task=scene.task(name, submitted))


@pytest.mark.parametrize("name", CALLING)
async def test_an_unreadable_callback_cannot_be_read(scene: Scene, name: str) -> None:
    await scene.submit(name, "sandbox:unreadable-callback sandbox:slow=0", calls_back=True)
    await scene.hook.holds(1)
    with pytest.raises(Unreadable):
        scene.client(name).read_callback(*scene.hook.received[-1])


@pytest.mark.parametrize("name", CALLING)
async def test_an_early_callback_comes_before_the_answer(scene: Scene, name: str) -> None:
    submitted = await scene.submit(name, "sandbox:early-callback sandbox:slow=0.1", calls_back=True)
    read = scene.client(name).read_callback(*scene.hook.received[-1])
    assert (read.status, read.provider_task_id) == (TaskStatus.SUCCEEDED, submitted.provider_task_id)


@pytest.mark.parametrize("name", CALLING)
async def test_a_callback_comes_though_the_answer_was_cut(scene: Scene, name: str) -> None:
    refusal = await scene.refusal(name, "sandbox:drop-answer sandbox:slow=0.1", calls_back=True)
    assert refusal.fate is Fate.UNKNOWN
    await scene.hook.holds(1)
    assert scene.client(name).read_callback(*scene.hook.received[-1]).provider_task_id is not None


@pytest.mark.parametrize("name", ["serevix", "apiframe"])
async def test_an_input_picture_changes_the_result(scene: Scene, name: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "navy").save(file, "PNG")
    task_input = {"image": "image:img_1", "seed": 1, "width": 256, "height": 256}
    with_picture = await scene.run(name, "a lighthouse sandbox:slow=0", image=InputImage(data=file.getvalue()), input=task_input)
    without = await scene.run(name, "a lighthouse sandbox:slow=0", input={**task_input, "image": None})
    assert await scene.bytes_of(with_picture) != await scene.bytes_of(without)


async def test_yescale_makes_as_many_different_pictures_as_asked_for_and_bills_each(scene: Scene) -> None:
    update = await scene.run("yescale", "a lighthouse sandbox:slow=0", input={"n": 3})
    assert len({await scene.bytes_of(update, number) for number in range(3)}) == 3
    assert (await scene.ledger("yescale"))["billed"] == 3


async def test_segmind_tells_cost_and_credits(scene: Scene) -> None:
    before = await scene.run("segmind", "a lighthouse sandbox:slow=0")
    after = await scene.run("segmind", "another lighthouse sandbox:slow=0")
    assert before.cost is not None
    assert before.credits_left is not None
    assert after.credits_left is not None
    assert after.credits_left < before.credits_left


@pytest.mark.parametrize("name", ["serevix", "kie", "segmind"])
async def test_a_picture_has_the_format_that_was_asked_for(scene: Scene, name: str) -> None:
    update = await scene.run(name, "a lighthouse sandbox:slow=0", input={"output_format": "png"})
    assert Image.open(io.BytesIO(await scene.bytes_of(update))).format == "PNG"


@pytest.mark.parametrize("name", ["serevix", "apiframe", "kie", "yescale"])
async def test_an_expired_link_is_refused_as_azure_does(scene: Scene, name: str) -> None:
    update = await scene.run(name, "a lighthouse sandbox:expired-image sandbox:slow=0")
    answer = await scene.http.get(update.pictures[0].url or "")
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/xml")
    assert "<Code>AuthenticationFailed</Code>" in answer.text


async def test_the_ledger_counts_one_prompt_alone(scene: Scene) -> None:
    await scene.run("kie", "a lighthouse sandbox:slow=0")
    await scene.run("kie", "a harbour sandbox:slow=0")
    told = (await scene.http.get(f"{scene.url}/ledger", params={"prompt": "a harbour sandbox:slow=0"})).json()
    assert told["kie"] == {"received": 1, "accepted": 1, "billed": 1, "callbacks_sent": 0}
