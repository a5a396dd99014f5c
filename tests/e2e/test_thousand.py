"""A thousand tasks over all five providers, with faults mixed in: each ends in one event per subscription, and is paid once at most."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import ADMIN_KEY, Api, Inbox, Process, free_port, serving

pytestmark = pytest.mark.anyio

# Kie takes 20 new tasks in 10 seconds, so it gets fewer of the thousand.
COUNTS = {"kie": 60, "apiframe": 235, "serevix": 235, "segmind": 235, "yescale": 235}
FAULTS = [
    "", "sandbox:moderated", "", "sandbox:error", "sandbox:slow=1", "sandbox:duplicate-callback", "", "sandbox:early-callback",
    "sandbox:no-callback", "", "sandbox:late-progress", "sandbox:unreadable-callback", "sandbox:bad-secret", "", "sandbox:drop-answer",
    "sandbox:rate-limit=1", "sandbox:no-credits", "",
]
SIZES = {"kie": {}, "yescale": {"width": 512, "height": 768}}


def _task(provider: str, number: int) -> dict[str, Any]:
    prompt = f"{provider} number {number} {FAULTS[number % len(FAULTS)]}".strip()
    return {"provider": provider, "prompt": prompt, **SIZES.get(provider, {"width": 256, "height": 256})}


@asynccontextmanager
async def _relay_and_sandbox(folder: Path) -> AsyncIterator[tuple[Api, str]]:
    port, sandbox_port = free_port(), free_port()
    sandbox = Process("sandbox", "--port", str(sandbox_port), port=sandbox_port, env={}, log=folder / "sandbox.log", ready="/ledger")
    await sandbox.start()
    env = {
        "RELAY_PORT": str(port), "RELAY_DATA_DIR": str(folder / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_LOG_LEVEL": "warning",
        "RELAY_ALLOW_CIDRS": "127.0.0.0/8", "RELAY_PUBLIC_URL": f"http://127.0.0.1:{port}", "RELAY_RECONCILE_AFTER": "3s",
    }
    for name in COUNTS:
        env |= {f"RELAY_{name.upper()}_API_KEY": "sandbox", f"RELAY_{name.upper()}_BASE_URL": f"{sandbox.url}/{name}"}
    relay = await Process("serve", port=port, env=env, log=folder / "relay.log").start()
    async with Api(relay.url) as api:
        yield api, sandbox.url
    assert await relay.stop() == 0
    await sandbox.stop()


async def _submit_all(api: Api) -> dict[str, dict[str, Any]]:
    some = asyncio.Semaphore(16)

    async def submit(task: dict[str, Any]) -> dict[str, Any]:
        async with some:
            return await api.submit(**task)

    tasks = await asyncio.gather(*(submit(_task(provider, number)) for provider, count in COUNTS.items() for number in range(count)))
    return {task["id"]: task for task in tasks}


async def test_a_thousand_tasks_with_faults_each_end_in_one_event_and_one_bill(tmp_path: Path) -> None:
    everything, successes = Inbox(), Inbox()
    async with (_relay_and_sandbox(tmp_path) as (api, sandbox), serving(everything.app()) as all_url, serving(successes.app()) as some_url):
        await api.subscribe(all_url + "/hook")
        await api.subscribe(some_url + "/hook", events=["task.succeeded"])
        tasks = await _submit_all(api)
        await everything.holds(len(tasks), seconds=180)
        ended = {event["data"]["task"]["id"]: event for event in everything.events}
        await successes.holds(sum(event["type"] == "task.succeeded" for event in ended.values()))
        await _assert_nothing_pends(api)
        async with httpx.AsyncClient(base_url=sandbox) as ledger_client:
            ledger = (await ledger_client.get("/ledger")).json()
    assert len(everything.received) == len(tasks) == len(ended) == 1000
    assert set(ended) == set(tasks)
    assert Counter(event["type"] for event in successes.events).keys() == {"task.succeeded"}
    assert len({event["id"] for event in successes.events}) == len(successes.received)
    _assert_paid_once(ledger, ended)
    _assert_ended_as_told(ended)


async def _assert_nothing_pends(api: Api) -> None:
    async with asyncio.timeout(20):
        while await _deliveries(api, "pending"):  # the outcome is recorded after the subscriber has answered
            await asyncio.sleep(0.05)
    assert await _deliveries(api, "exhausted") == await _deliveries(api, "held") == []


async def _deliveries(api: Api, status: str) -> list[Any]:
    return list((await api.get("/api/v1/deliveries", params={"status": status})).json()["data"])


def _assert_paid_once(ledger: dict[str, dict[str, int]], ended: dict[str, dict[str, Any]]) -> None:
    for provider, count in COUNTS.items():
        tasks = [event["data"]["task"] for event in ended.values() if event["data"]["task"]["provider"] == provider]
        succeeded = sum(task["status"] == "succeeded" for task in tasks)
        unknown = sum((task["error"] or {}).get("code") == "outcome_unknown" for task in tasks)
        assert succeeded <= ledger[provider]["billed"] <= succeeded + unknown, (provider, ledger)
        assert ledger[provider]["accepted"] <= count


def _assert_ended_as_told(ended: dict[str, dict[str, Any]]) -> None:
    for event in ended.values():
        task = event["data"]["task"]
        code = (task["error"] or {}).get("code")
        assert (task["provider"], task["prompt"], code) == (task["provider"], task["prompt"], _expected(task["provider"], task["prompt"]))


def _expected(provider: str, prompt: str) -> str | None:
    fault = prompt.partition("sandbox:")[2]
    if fault == "drop-answer":
        return None if provider in ("apiframe", "kie") else "outcome_unknown"
    return {"moderated": "moderated", "error": "provider_error", "no-credits": "insufficient_credits"}.get(fault)
