"""kill -9 in the middle of everything: what was acknowledged is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from relay.bell import Bell
from relay.ids import new_id
from relay.model import TaskStatus
from relay.ports.store import TaskFilter
from relay.stores.sqlite import open_store
from tests.stores.making import link

pytestmark = pytest.mark.anyio

_CHILD = """
import asyncio, pathlib, sys
from relay.bell import Bell
from relay.ids import new_id
from relay.stores.sqlite import open_store
from tests.stores.making import Shelf, link

async def finish_for_ever(shelf):
    while True:
        task = await shelf.add_open_task(id=new_id("task"))
        await shelf.finish(task, callback=shelf.callback(task, id=new_id("cbk")))
        print(task.id, flush=True)

async def main():
    shelf = Shelf(await open_store(pathlib.Path(sys.argv[1]), bell=Bell(), link=link, new_id=new_id))
    await shelf.add_account("default")
    await shelf.subscribe()
    await asyncio.gather(*(finish_for_ever(shelf) for _ in range(16)))

asyncio.run(main())
"""


async def test_everything_that_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with subprocess.Popen([sys.executable, "-c", _CHILD, path], stdout=subprocess.PIPE, text=True) as child:  # noqa: ASYNC220
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(300)]
        child.kill()
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    store = await open_store(path, bell=Bell(), link=link, new_id=new_id)
    await store.recover()
    account = await store.account("default")
    assert account is not None
    for task_id in acknowledged:
        timeline = await store.timeline(account.id, task_id)
        assert timeline is not None
        assert timeline.task.status is TaskStatus.SUCCEEDED
        assert (len(timeline.callbacks), len(timeline.events), len(timeline.deliveries)) == (1, 1, 1)
    assert len((await store.tasks(account.id, TaskFilter(status=TaskStatus.SUCCEEDED), limit=100_000)).data) >= len(acknowledged)
    await store.close()
