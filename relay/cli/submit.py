"""`relay submit`."""

import base64
import mimetypes
import time
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from relay.cli.client import Client, Failed, connect
from relay.cli.images import NotSaved, save_images
from relay.cli.pairs import read_pairs, read_values
from relay.cli.screen import json_option, plain, show_item, show_json
from relay.settings.values import read_duration

_ENDED: Final = ("succeeded", "failed")
_LOOK: Final = 1  # seconds that one question is held


@click.command("submit")
@click.argument("prompt")
@click.option("--provider", required=True, help="serevix, apiframe, segmind, kie or yescale.")
@click.option("--model", help="The provider's default if absent.")
@click.option("--width", type=int, help="In pixels.")
@click.option("--height", type=int, help="In pixels.")
@click.option("--aspect-ratio", help="Such as 16:9.")
@click.option("--seed", type=int)
@click.option("-n", "n", type=int, help="How many images.")
@click.option("--output-format", help="jpeg, png or webp.")
@click.option("--image", help="An input picture: a URL, a data URI or a file.")
@click.option("--image-strength", type=float)
@click.option("--prompt-upsampling/--no-prompt-upsampling", default=None)
@click.option("--safety-tolerance", type=int)
@click.option("--steps", type=int)
@click.option("--guidance", type=float)
@click.option("--interval", type=float)
@click.option("--raw/--no-raw", default=None)
@click.option("--watermark")
@click.option("--translate/--no-translate", default=None)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A field of the provider's own; may be repeated.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Comes back in the events; may be repeated.")
@click.option("--callback-url", help="Told of the end of this task alone.")
@click.option("--callback-secret", help="Sent there as x-webhook-secret.")
@click.option("--idempotency-key", help="The same key twice is one task.")
@click.option("--wait", is_flag=True, help="Wait for the end, and save the image.")
@click.option("-o", "--output", type=click.Path(), help="Where to save the image: a file or a folder (folder/ is made); implies --wait.")
@click.option("--timeout", default="30m", show_default=True, help="How long to wait.")
@json_option
def command(*, wait: bool, output: str | None, timeout: str, idempotency_key: str | None, as_json: bool,
            **given: Any) -> None:  # noqa: ANN401 -- the fields of the request, as they were given
    """Submit an image task."""
    seconds = _seconds(timeout)
    client = connect()
    headers = {"idempotency-key": idempotency_key} if idempotency_key else None
    task = client.post("tasks", _body(given), headers=headers)
    if not wait and output is None:
        show_item(task, as_json=as_json)
        return
    task = _await_end(client, task, seconds)
    if as_json:
        show_json(task)
    if task["status"] == "failed":
        error = task.get("error") or {}
        raise Failed(f"{task['id']} failed: {plain(error.get('message'))} ({error.get('code')})")
    _save(task, output, as_json=as_json)


def _body(given: dict[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in given.items() if value not in (None, ())}
    if "image" in body:
        body["image"] = _picture(body["image"])
    if "options" in body:
        body["options"] = read_values(body["options"])
    if "metadata" in body:
        body["metadata"] = read_pairs(body["metadata"])
    return body


def _picture(text: str) -> str:
    """A file becomes a data URI; URLs and data URIs stay as they are."""
    if text.startswith(("http://", "https://", "data:")):
        return text
    kind = mimetypes.guess_type(text)[0] or "application/octet-stream"
    try:
        return f"data:{kind};base64,{base64.b64encode(Path(text).read_bytes()).decode()}"
    except OSError as exc:
        raise Failed(f"{text}: {exc.strerror}") from exc


def _await_end(client: Client, task: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Ask until the task ends; each question is held by the service, so its end is seen at once."""
    until = time.monotonic() + seconds
    console = Console(stderr=True)
    told = ""
    with console.status(_state(task)) as status:
        while task["status"] not in _ENDED:
            if time.monotonic() >= until:
                raise Failed(f"{task['id']} is still {task['status']}; look again with: relay tasks {task['id']}")
            task = client.wait(task["id"], _LOOK)
            status.update(_state(task))
            if not console.is_terminal and told != _state(task):
                told = _state(task)
                click.echo(told, err=True)
    return task


def _state(task: dict[str, Any]) -> str:
    progress = f" {task['progress']} %" if task.get("progress") is not None else ""
    return f"{task['id']} {task['status']}{progress}"


def _save(task: dict[str, Any], output: str | None, *, as_json: bool) -> None:
    try:
        paths = save_images(task, output)
    except (NotSaved, OSError) as exc:
        raise Failed(str(exc)) from exc
    for path in paths:
        click.echo(f"saved {path}", err=as_json)


def _seconds(text: str) -> float:
    try:
        return read_duration(text)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--timeout") from exc
