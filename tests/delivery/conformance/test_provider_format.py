"""Format `provider`: each provider's own shape, from a real process with the five stand-ins built in."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct

from tests.delivery.receiver import Received, Receiver
from tests.e2e.harness import ADMIN_KEY, Api, Process, free_port

pytestmark = pytest.mark.anyio

PROVIDERS = ("serevix", "apiframe", "segmind", "kie", "yescale")
SECRET = "s3cret-of-the-caller"


class Told(Struct):
    """A task that ended well, and what came of it."""

    task: dict[str, Any]
    request: Received

    @property
    def body(self) -> Any:
        return json.loads(self.request.body)

    @property
    def picture(self) -> str:
        return str(self.task["images"][0]["url"]).split("?")[0]


@pytest.fixture(scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[dict[str, Told]]:  # noqa: ARG001 -- the plugin wants it
    port, folder = free_port(), tmp_path_factory.mktemp("relay")
    env = {"RELAY_DATA_DIR": str(folder / "data"), "RELAY_ADMIN_KEY": ADMIN_KEY}
    relay = await Process("serve", "--sandbox", "--port", str(port), port=port, env=env, log=folder / "relay.log").start()
    async with Receiver() as receiver, Api(relay.url) as api:
        for name in PROVIDERS:
            await api.subscribe(f"{receiver.url}/{name}", format="provider", providers=[name], callback_secret=SECRET)
        made = await asyncio.gather(*(api.submit(provider=name, prompt="sandbox:slow=0.1") for name in PROVIDERS))
        ended = [await api.ended(task["id"]) for task in made]
        await receiver.wait_for_requests(len(PROVIDERS))
        came = {request.target.rpartition("/")[2]: request for request in receiver.requests}
        yield {task["provider"]: Told(task, came[task["provider"]]) for task in ended}
    assert await relay.stop() == 0


async def test_serevix_is_the_body_of_get_result(told: dict[str, Told]) -> None:
    found = told["serevix"]

    assert (found.body["id"], found.body["status"]) == (found.task["provider_task_id"], "Ready")
    assert found.body["result"]["sample"].split("?")[0] == found.picture


async def test_apiframe_is_its_callback(told: dict[str, Told]) -> None:
    found = told["apiframe"]

    assert found.body["task_id"] == found.task["provider_task_id"]
    assert found.body["image_url"].split("?")[0] == found.body["original_image_url"].split("?")[0] == found.picture


async def test_kie_is_its_callback(told: dict[str, Told]) -> None:
    found = told["kie"]

    assert (found.body["code"], found.body["msg"], found.body["data"]["taskId"]) == (200, "success", found.task["provider_task_id"])
    assert found.body["data"]["info"]["resultImageUrl"].split("?")[0] == found.picture


async def test_segmind_is_the_result_of_version_2(told: dict[str, Told]) -> None:
    found = told["segmind"]

    assert found.body["status"] == "COMPLETED"
    assert found.body["output"].split("?")[0] == found.picture
    assert {"request_id", "status", "output"} <= set(found.body)


async def test_yescale_is_the_json_of_the_answer(told: dict[str, Told]) -> None:
    found = told["yescale"]

    assert set(found.body) == {"created", "data"}
    assert [one["url"].split("?")[0] for one in found.body["data"]] == [found.picture]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_x_webhook_secret_is_the_callback_secret_beside_the_headers_of_standard_webhooks(
        told: dict[str, Told], provider: str) -> None:
    headers = told[provider].request.headers

    assert headers["x-webhook-secret"] == SECRET
    assert headers["webhook-signature"].startswith("v1,")
    assert headers["webhook-id"].startswith("evt_")
