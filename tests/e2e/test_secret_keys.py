"""A newer key among RELAY_SECRET_KEYS, and then the older one taken away."""

import asyncio
import logging
from pathlib import Path

import httpx
import msgspec
import pytest

from relay.app import open_app
from relay.settings import Settings
from tests.delivery.receiver import Receiver
from tests.e2e.harness import ADMIN_KEY, serving
from tests.web.conftest import read_json, settings_for
from tests.web.subscribing import PATH, act, subscribe, verified

pytestmark = pytest.mark.anyio

OLD, NEW = "o" * 40, "n" * 40


def with_keys(settings: Settings, *keys: str) -> Settings:
    return msgspec.structs.replace(settings, secret_keys=keys)


async def test_after_a_start_with_both_keys_the_older_one_is_not_needed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relay.delivery.resealing")
    settings = settings_for(tmp_path / "data", "http://127.0.0.1:9")
    key = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with Receiver() as receiver:
        async with open_app(with_keys(settings, OLD)) as site, serving(site) as url, httpx.AsyncClient(base_url=url, headers=key) as api:
            made = await subscribe(api, url=receiver.url, signatures=["v1", "v1a"], headers={"X-Team": "hush"}, callback_secret="hush-hush")
            made |= await act(api, made, "rotate-secret")
        async with open_app(with_keys(settings, NEW, OLD)), asyncio.timeout(10):
            while not any("sealed anew" in message for message in caplog.messages):
                await asyncio.sleep(0.01)
        async with open_app(with_keys(settings, NEW)) as site, serving(site) as url, httpx.AsyncClient(base_url=url, headers=key) as api:
            assert read_json(await api.get(f"{PATH}/{made['id']}/secret"), 200)["secret"] == made["secret"]
            await act(api, made, "test", status=202)
            [request] = await receiver.wait_for_requests(1)
            assert verified(receiver, made["secret"])["type"] == "ping"
            assert (request.headers["x-team"], request.headers["x-webhook-secret"]) == ("hush", "hush-hush")
            assert request.headers["webhook-signature"].count("v1a,") == 2
