"""Callers of a relay that write down what they were promised, and the audit that holds it against what came of it.

Watched tasks are Kie's: whoever watches one is its provider too, and calls back. So it is known of each callback whether it was answered.
"""

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp
from msgspec import Struct

from tests.e2e.harness import ADMIN_KEY, Api, Inbox
from tests.e2e.insistence import Insistent
from tests.e2e.studio import Studio, Submit

_AT_ONCE: Final = 16
_SUBMITTERS: Final = 6
_PATIENCE: Final = 90.0
_ENDS: Final = ("task.succeeded", "task.failed")
_PICTURE: Final = {"originImageUrl": "https://images.example.com/o.png", "resultImageUrl": "https://images.example.com/1.png"}
_CALLBACK: Final = {"code": 200, "msg": "success", "data": {"taskId": "up-1", "info": _PICTURE}}
_PROVIDERS: Final = ("apiframe", "serevix", "segmind")
_PROVIDERS_PATIENCE: Final = aiohttp.ClientTimeout(total=15)  # as long as Kie waits for an answer to a callback
_ARRIVING: Final = 1.0  # seconds until the provider, who has much else to do too, reads a request that had left when the kill came
_RECORDING: Final = 5.0  # seconds between a provider's answer and its record, at most, on a machine with much else to do


class Promise(NamedTuple):
    """A task that the API has accepted. `prompt` is empty where it is watched."""

    provider: str
    prompt: str


class Crowd:
    """`accepted`: by task id. `acknowledged`: the watched tasks whose callback was answered 2xx."""

    def __init__(self, url: str, asking: Insistent) -> None:
        self.accepted: dict[str, Promise] = {}
        self.acknowledged: set[str] = set()
        self.asking = asking
        self._url = url
        self._uncalled: deque[tuple[str, str]] = deque()

    async def watch(self, count: int, **metadata: str) -> None:
        """So many tasks, whose callbacks are still to come."""
        numbers = iter(range(count))
        await _all_at_once(_AT_ONCE, lambda: self._watch_each(numbers, metadata))

    async def _watch_each(self, numbers: Iterator[int], metadata: dict[str, str]) -> None:
        for number in numbers:
            task = await self._post("tasks/watch", {"provider": "kie", "metadata": {"number": number, **metadata}})
            self.accepted[task["id"]] = Promise("kie", "")
            self._uncalled.append((task["id"], task["provider_callback_url"]))

    async def call_back(self, pause: float = 0.0) -> None:
        """For every watched task, each caller resting for `pause` between two."""
        await _all_at_once(_AT_ONCE, lambda: self._call_back_each(pause))

    async def _call_back_each(self, pause: float) -> None:
        while self._uncalled:
            task_id, url = self._uncalled.popleft()
            await self.asking.post(url, _CALLBACK)
            self.acknowledged.add(task_id)
            await asyncio.sleep(pause)

    async def submit(self, until: asyncio.Event, chance: random.Random, pause: float) -> None:
        """Tasks for all providers of the studio, each with a prompt of its own."""
        await _all_at_once(_SUBMITTERS, lambda: self._submit_each(until, chance, pause))

    async def _submit_each(self, until: asyncio.Event, chance: random.Random, pause: float) -> None:
        while not until.is_set():
            provider, prompt = chance.choice(_PROVIDERS), f"lighthouse-{chance.getrandbits(60):x}"
            task = await self._post("tasks", {"provider": provider, "prompt": prompt}, {"idempotency-key": prompt})
            self.accepted[task["id"]] = Promise(provider, prompt)
            await asyncio.sleep(chance.random() * pause)

    async def until(self, is_so: Callable[["Crowd"], bool]) -> None:
        """Until its books say so."""
        async with asyncio.timeout(_PATIENCE):
            while not is_so(self):
                await asyncio.sleep(0.01)

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        key = {"authorization": f"Bearer {ADMIN_KEY}"}
        return await self.asking.post(f"{self._url}/api/v1/{path}", body, {**key, **(headers or {})})


async def _all_at_once(count: int, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(make(), name="caller")


@asynccontextmanager
async def open_crowd(url: str) -> AsyncIterator[Crowd]:
    async with aiohttp.ClientSession(timeout=_PROVIDERS_PATIENCE) as session:
        yield Crowd(url, Insistent(session))


class Outcome(Struct, frozen=True, kw_only=True):
    """What the relay says at the end: its tasks, and its deliveries by status, each by its event."""

    tasks: dict[str, dict[str, Any]]
    deliveries: dict[str, list[str]]


class Audit(Struct, frozen=True, kw_only=True):
    """Exact counts of what was promised and what was done. `problems`: whatever is not as it was promised."""

    accepted: int
    acknowledged: int
    submits: int
    in_doubt: int
    events: int
    requests: int
    problems: list[str]

    def __str__(self) -> str:
        return (f"{self.accepted} tasks accepted, {self.submits} submits at the provider, {self.in_doubt} in doubt; {self.acknowledged} "
                f"tasks with an acknowledged callback; {self.events} events in {self.requests} requests; {len(self.problems)} problems")


async def at_rest(api: Api, studio: Studio | None = None) -> Outcome:
    """Once no task is open, every callback taken, and no delivery pending."""
    async with asyncio.timeout(_PATIENCE):
        for status in ("queued", "submitted", "processing"):
            await _is_empty(api, "tasks", status)
        if studio:
            await studio.has_called()
        await _is_empty(api, "deliveries", "pending")
    deliveries: defaultdict[str, list[str]] = defaultdict(list)
    async for delivery in _listed(api, "deliveries"):
        deliveries[delivery["status"]].append(delivery["event_id"])
    return Outcome(tasks={task["id"]: task async for task in _listed(api, "tasks")}, deliveries=dict(deliveries))


async def _is_empty(api: Api, noun: str, status: str) -> None:
    while (await api.get(f"/api/v1/{noun}", params={"status": status, "limit": "1"})).json()["data"]:
        await asyncio.sleep(0.1)


async def _listed(api: Api, noun: str) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(f"/api/v1/{noun}", params={"limit": "200", **({"cursor": cursor} if cursor else {})})).json()
        for item in page["data"]:
            yield item
        cursor = page["next_cursor"]


def audit(outcome: Outcome, crowd: Crowd, inbox: Inbox, studio: Studio | None = None, kills: tuple[float, ...] = ()) -> Audit:
    """`kills`: when the relay was killed, by CLOCK_MONOTONIC."""
    acknowledged = crowd.acknowledged | (studio.acknowledged if studio else set())
    submits: dict[str, list[Submit]] = studio.submits if studio else {}
    ids = Counter(headers["webhook-id"] for headers, _ in inbox.received)
    unknown = [task for task in outcome.tasks.values() if _is_in_doubt(task)]
    problems = [
        *_of_tasks(outcome, crowd, acknowledged), *_of_submits(outcome, submits), *_of_events(outcome, inbox),
        *(f"{task['id']} is in doubt and no kill explains it" for task in unknown if not _is_excused(task, submits, kills)),
    ]
    if outcome.deliveries.keys() != {"delivered"} or Counter(outcome.deliveries["delivered"]) != Counter(list(ids)):
        problems.append(f"{ {status: len(events) for status, events in outcome.deliveries.items()} } and {len(ids)} events received")
    return Audit(accepted=len(crowd.accepted), acknowledged=len(acknowledged), submits=sum(map(len, submits.values())),
                 in_doubt=len(unknown), events=len(ids), requests=ids.total(), problems=problems)


def _of_tasks(outcome: Outcome, crowd: Crowd, acknowledged: set[str]) -> Iterator[str]:
    if outcome.tasks.keys() != crowd.accepted.keys():
        yield f"{len(crowd.accepted.keys() ^ outcome.tasks.keys())} tasks stand in one book only"
    for task in outcome.tasks.values():
        if task["status"] != "succeeded" and (task["id"] in acknowledged or not _is_in_doubt(task)):
            yield f"{task['id']} of {task['provider']} is {task['status']}: {task['error']}; acknowledged: {task['id'] in acknowledged}"


def _of_submits(outcome: Outcome, submits: dict[str, list[Submit]]) -> Iterator[str]:
    succeeded = {task["prompt"] for task in outcome.tasks.values() if task["status"] == "succeeded" and task["prompt"]}
    yield from (f"{prompt} succeeded and was never submitted" for prompt in succeeded if len(submits[prompt]) != 1)
    yield from (f"{prompt} was submitted {len(times)} times" for prompt, times in submits.items() if len(times) != 1)


def _of_events(outcome: Outcome, inbox: Inbox) -> Iterator[str]:
    """Each task is told to have ended as it did, in one event; and an event that comes again is the same."""
    told: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    bodies: dict[str, bytes] = {}
    for (headers, body), event in zip(inbox.received, inbox.events, strict=True):
        if bodies.setdefault(headers["webhook-id"], body) != body or event["id"] != headers["webhook-id"]:
            yield f"{headers['webhook-id']} came with different bodies"
        if event["type"] in _ENDS:
            told[event["data"]["task"]["id"]].add((event["id"], event["type"]))
    for task in outcome.tasks.values():
        if [kind for _, kind in told[task["id"]]] != [f"task.{task['status']}"]:
            yield f"{task['id']} is {task['status']} and was told as {told[task['id']]}"


def _is_in_doubt(task: dict[str, Any]) -> bool:
    return bool(task["error"]) and task["error"]["code"] == "outcome_unknown"


def _is_excused(task: dict[str, Any], submits: dict[str, list[Submit]], kills: tuple[float, ...]) -> bool:
    """A kill fell between the request, if it got that far, and the record of its answer."""
    times = submits.get(task["prompt"], [])
    return bool(kills) and all(any(_is_within(kill, submit) for kill in kills) for submit in times)


def _is_within(kill: float, submit: Submit) -> bool:
    return submit.arrived_at <= kill + _ARRIVING and (submit.answered_at is None or kill <= submit.answered_at + _RECORDING)
