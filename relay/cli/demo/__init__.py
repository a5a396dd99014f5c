"""`relay demo`: one task to each provider, through all of Relay, and an honest account of what came of it.

It succeeds only if for each provider exactly one event arrived, verified with the public `standardwebhooks` library, with an image that
opens. It goes on listening for a moment after the last event, to catch one that comes twice.
"""

import asyncio
import io
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import httpx
import uvloop
from PIL import Image, UnidentifiedImageError

from relay.cli.client import Failed, explain
from relay.cli.demo.judge import Picture, Row, image_of, judge, task_of
from relay.cli.demo.stage import Stage, open_stage
from relay.cli.demo.view import View, show_result
from relay.cli.server import stopped_by_signals
from relay.observe.log import set_up_logging
from relay.settings import PROVIDER_NAMES

_PATIENCE: Final = 24.0
_LOOK: Final = 0.15
_LISTEN_ON: Final = 0.8
_LOG: Final = "relay.log"
_INTERRUPTED: Final = 130

_log = logging.getLogger(__name__)


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards; Ctrl-C stops it.")
@click.option("--prompt", default="a lighthouse at dusk", show_default=True,
              help="What to draw. Words such as sandbox:error or sandbox:slow=3 bring faults.")
@click.option("--images", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("relay-demo"), show_default=True,
              help="Where to save the images and the log.")
def command(*, keep: bool, prompt: str, folder: Path) -> None:
    """Send one task to each provider and watch the results come back.

    Stand-ins for the providers, a relay and a subscriber run on free loopback ports with a throw-away data folder: no account, no public
    URL, nothing to set up. The exit code is 0 only if five events arrived, verified, once each, with an image that opens.
    """
    folder = _writable(folder)
    with (folder / _LOG).open("w", encoding="utf-8") as log, tempfile.TemporaryDirectory(prefix="relay-demo-") as data:
        set_up_logging(style="text", level="info", stream=log)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                is_well = runner.run(_perform(prompt, folder, Path(data), keep=keep))
        except (KeyboardInterrupt, asyncio.CancelledError):
            click.echo("stopped", err=True)
            sys.exit(_INTERRUPTED)
        except ExceptionGroup:
            _log.critical("a part of the demo failed", exc_info=True)
            click.echo("relay demo: a part of it broke down", err=True)
            is_well = False
    if not is_well:
        click.echo(f"The log is {folder / _LOG}", err=True)
    sys.exit(0 if is_well else 1)


async def _perform(prompt: str, folder: Path, data: Path, *, keep: bool) -> bool:
    me = asyncio.current_task()
    if me:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    async with open_stage(data) as stage:
        view = View(PROVIDER_NAMES)
        try:
            with view.live():
                rows, stray = await _play(stage, prompt, folder, view)
        except (Failed, httpx.HTTPError) as exc:
            click.echo(f"relay demo: {exc}", err=True)
            return False
        is_well = show_result(rows, stray)
        click.echo(f"The images are in {folder}{os.sep}")
        if keep:
            await _stay(stage)
    return is_well


async def _play(stage: Stage, prompt: str, folder: Path, view: View) -> tuple[list[Row], list[str]]:
    headers = {"authorization": f"Bearer {stage.admin_key}"}
    async with httpx.AsyncClient(base_url=f"{stage.relay_url}/api/v1", headers=headers, timeout=10.0, trust_env=False) as api:
        subscription = await _post(api, "subscriptions", {"url": stage.subscriber_url})
        stage.subscriber.trust(subscription["secret"])
        tasks = {name: (await _post(api, "tasks", {"provider": name, "prompt": prompt}))["id"] for name in PROVIDER_NAMES}
        await _watch(api, stage, tasks, view)
    await asyncio.sleep(_LISTEN_ON)
    pictures = await _fetch_pictures(stage, tasks, folder, view)
    return judge(tasks, stage.subscriber.receipts, pictures)


async def _post(api: httpx.AsyncClient, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    response = await api.post(path, json=body)
    if not response.is_success:
        raise Failed(f"{path}: {explain(response)}")
    answer = response.json()
    assert isinstance(answer, dict)  # noqa: S101 -- our own API
    return answer


async def _watch(api: httpx.AsyncClient, stage: Stage, tasks: Mapping[str, str], view: View) -> None:
    """Show how the tasks stand until each has its event, or patience ends."""
    subscriber = stage.subscriber
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        arrived = {task_of(receipt) for receipt in subscriber.receipts}
        for task in (await api.get("tasks", params={"limit": 50})).json()["data"]:
            if task["id"] not in arrived:
                view.show_task(task)
        for provider, task_id in tasks.items():
            if task_id in arrived:
                view.show_event(provider)
        if arrived >= set(tasks.values()):
            return
        subscriber.arrived.clear()
        try:
            async with asyncio.timeout(_LOOK):
                await subscriber.arrived.wait()
        except TimeoutError:
            continue


async def _fetch_pictures(stage: Stage, tasks: Mapping[str, str], folder: Path, view: View) -> dict[str, Picture]:
    providers = {task_id: provider for provider, task_id in tasks.items()}
    pictures = {}
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http:
        for receipt in stage.subscriber.receipts:
            provider, url = providers.get(task_of(receipt) or ""), image_of(receipt)
            if receipt.event and provider and url:
                pictures[str(receipt.event["id"])] = picture = await _fetch_picture(http, url, folder / provider)
                view.show_picture(provider, picture.fault)
    return pictures


async def _fetch_picture(http: httpx.AsyncClient, url: str, stem: Path) -> Picture:
    try:
        response = await http.get(url, follow_redirects=True)
        response.raise_for_status()
        with Image.open(io.BytesIO(response.content)) as image:
            image.load()
            looks = f"{image.width} x {image.height} {image.format}"
            path = stem.with_suffix(f".{(image.format or 'image').lower()}")
    except httpx.HTTPError as exc:
        return Picture(fault=f"its image cannot be fetched: {exc}")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as exc:
        return Picture(fault=f"its image does not open: {exc}")
    path.write_bytes(response.content)
    return Picture(str(path), looks)


async def _stay(stage: Stage) -> None:
    click.echo("\n".join((
        "", f"Relay       {stage.relay_url}", f"API key     {stage.admin_key}", f"sandbox     {stage.sandbox_url}",
        f"subscriber  {stage.subscriber_url}", "", "In another terminal:",
        f"  export RELAY_URL={stage.relay_url} RELAY_API_KEY={stage.admin_key}",
        "  relay submit --provider kie 'a red boat' --wait", "", "Ctrl-C stops all of it.",
    )))
    ended = asyncio.Event()
    with stopped_by_signals(ended.set):
        await ended.wait()


def _writable(folder: Path) -> Path:
    """The folder, made if need be; a fresh one among the temporary files where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _LOG).touch()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="relay-demo-"))
    return folder
