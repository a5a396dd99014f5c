"""Database files that are there before a run starts: open tasks, put in by the real store, and the callbacks that end them.

A file is filled once and copied for each run, so that every run starts from the same.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay.bell import Bell
from relay.ids import new_id
from relay.model import Account, Task, TaskStatus
from relay.ports import Call
from relay.providers.apiframe.wire import ECHO_HEADER, TASK_TYPE, Notice
from relay.signing import Seal
from relay.stores.sqlite import SqliteStore, open_store

SECRET_KEY: Final = "bench-" * 8
_AT_ONCE: Final = 2000
_DEADLINE: Final = timedelta(days=1)


class Filled(Struct, frozen=True, kw_only=True):
    """A database with open tasks."""

    database: Path
    task_ids: Sequence[str]


def link(image_id: str, now: datetime) -> tuple[str, datetime]:
    return f"http://127.0.0.1/images/{image_id}", now + timedelta(days=7)


async def open_bench_store(path: Path, *, first_wait: float = 0.0) -> SqliteStore:
    return await open_store(path, bell=Bell(), link=link, new_id=new_id, first_wait=first_wait)


async def fill(folder: Path, count: int, *, each: Callable[[int], dict[str, Any]] = lambda _: {}, **given: Any) -> Filled:
    """So many tasks that wait for APIFRAME's callback, or are as `given` says, and `each` of its number; those of a drop-in with their
    calls."""
    path = folder / "filled.db"
    store = await open_bench_store(path)
    try:
        account = await store.account("default")
        account = account or await store.add_account(Account(id=new_id("acc"), name="default", created_at=datetime.now(UTC)))
        due_at = given.pop("due_at", None)
        tasks = [open_task(account.id, number, **given, **each(number)) for number in range(count)]
        for start in range(0, count, _AT_ONCE):
            await asyncio.gather(*(store.add_task(task, due_at=due_at, call=_call(task)) for task in tasks[start:start + _AT_ONCE]))
    finally:
        await store.close()
    return Filled(database=path, task_ids=[task.id for task in tasks])


def _call(task: Task) -> Call | None:
    return Call(task_id=task.id, fingerprint=task.id) if task.dropin else None


def open_task(account_id: str, number: int, **given: Any) -> Task:
    """As `POST /api/v1/tasks` leaves it once the provider has accepted."""
    now = datetime.now(UTC)
    return Task(**{
        "id": new_id("task"), "account_id": account_id, "provider": "apiframe", "model": "flux-pro-1.1",
        "prompt": f"a lighthouse at dusk, number {number}", "input": {"width": 1024, "height": 768, "seed": number},
        "status": TaskStatus.SUBMITTED, "provider_task_id": f"29e983ca-7e86-4017-a9e3-{number:012d}", "metadata": {"order": f"A-{number}"},
        "created_at": now, "submitted_at": now, "accepted": True, "sends": 1, "deadline_at": now + _DEADLINE, **given})


def write_callbacks(path: Path, task_ids: Sequence[str], *, first: int = 0) -> str:
    """For each task the success that APIFRAME posts, to the task's own URL, with its own secret."""
    seal = Seal([SECRET_KEY], "callbacks")
    requests = [(task_id, _callback(seal, task_id, number)) for number, task_id in enumerate(task_ids, first)]
    path.write_bytes(msgspec.msgpack.encode(requests))
    return str(path)


def _callback(seal: Seal, task_id: str, number: int) -> bytes:
    picture = f"https://cdn.apiframe.pro/images/{number:08d}-8d1d-4ff9-b5f4-6cb1d7a9fb2f.png"
    notice = Notice(task_id=f"29e983ca-7e86-4017-a9e3-{number:012d}", task_type=TASK_TYPE, original_image_url=picture, image_url=picture)
    return post(f"/callbacks/apiframe/{seal.sign(task_id)}", msgspec.json.encode(notice),
                f"{ECHO_HEADER}: {seal.secrets_for(task_id)[0]}", "user-agent: axios/1.7.9", "accept: application/json, text/plain, */*")


def post(path: str, body: bytes, *headers: str) -> bytes:
    """The bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, *headers: str) -> bytes:
    """The bytes of a request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: 127.0.0.1", *headers]).encode() + b"\r\n\r\n"


def write_requests(path: Path, requests: Sequence[bytes]) -> str:
    """Requests that need not be told apart."""
    path.write_bytes(msgspec.msgpack.encode([(str(number), request) for number, request in enumerate(requests)]))
    return str(path)
