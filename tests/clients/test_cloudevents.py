"""The libraries of CloudEvents, for Python and for JavaScript, read what Relay sends in the format `cloudevents`."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from tests.clients.stage import FOLDER
from tests.e2e.harness import ADMIN_KEY, Api, Inbox, Process, free_port, serving

pytestmark = pytest.mark.anyio

PROMPT = 'ein "Leuchtturm"\nim Nebel, 灯台 👻'


@pytest.fixture
async def received(tmp_path: Path) -> AsyncIterator[list[tuple[dict[str, str], bytes]]]:
    """A task that ended well and a ping, as a subscriber got them."""
    port, inbox = free_port(), Inbox()
    env = {"RELAY_DATA_DIR": str(tmp_path / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY}
    relay = await Process("serve", "--sandbox", "--port", str(port), port=port, env=env, log=tmp_path / "relay.log").start()
    async with serving(inbox.app()) as url, Api(relay.url) as api:
        made = await api.subscribe(url + "/hook", format="cloudevents")
        await api.submit(provider="serevix", prompt=PROMPT, metadata={"order": "A-17"})
        await inbox.holds(1)
        assert (await api.post(f"/api/v1/subscriptions/{made['id']}/test")).status_code == 202
        await inbox.holds(2)
        yield inbox.received
    assert await relay.stop() == 0


async def read_by_node(received: list[tuple[dict[str, str], bytes]]) -> list[dict[str, Any]]:
    """Each as the JavaScript library reads it."""
    process = await asyncio.create_subprocess_exec(
        "node", FOLDER / "read_cloudevents.js",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    lines = [json.dumps({"headers": headers, "body": body.decode()}) for headers, body in received]
    async with asyncio.timeout(30):
        out, err = await process.communicate("\n".join(lines).encode())
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.decode().splitlines()]


def read_by_python(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """As the Python library reads it, which itself decides by the headers how the event is carried."""
    event = from_http_event(HTTPMessage(headers, body))
    return {**event.get_attributes(), "data": event.get_data()}


async def test_both_read_what_a_delivery_brought(received: list[tuple[dict[str, str], bytes]]) -> None:
    sent = [json.loads(body) for _, body in received]
    for read in (await read_by_node(received), [read_by_python(headers, body) for headers, body in received]):
        assert [one["type"] for one in read] == ["task.succeeded", "ping"]
        assert [one["id"] for one in read] == [headers["webhook-id"] for headers, _ in received]
        assert {one["specversion"] for one in read} == {"1.0"}
        assert {one["source"] for one in read} == {sent[0]["source"]}
        assert [one.get("subject") for one in read] == [sent[0]["data"]["task"]["id"], None]
        assert [one["data"] for one in read] == [one["data"] for one in sent]
        assert [moment(one["time"]) for one in read] == [moment(one["time"]) for one in sent]
    assert sent[0]["data"]["task"]["prompt"] == PROMPT


def moment(time: str | datetime) -> datetime:
    """To the millisecond: JavaScript knows no smaller part."""
    read = datetime.fromisoformat(time) if isinstance(time, str) else time
    return read.replace(microsecond=read.microsecond // 1000 * 1000)
