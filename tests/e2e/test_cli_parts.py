"""The parts of the command line that need no service."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from relay.cli import COMMANDS, serve
from relay.cli.client import Client, Failed
from relay.cli.demo.judge import Picture, Receipt, judge
from relay.cli.first_start import prepare_data_dir
from relay.cli.listen import follow
from relay.cli.noun import noun
from relay.cli.pairs import read_pairs, read_values
from relay.cli.screen import plain
from relay.cli.server import bind
from relay.cli.stream import Message, StreamReader
from relay.settings import load_settings

FINE = Picture("kie.png", "8 x 8 PNG")


def read(*lines: str) -> list[Message]:
    reader = StreamReader()
    return [message for line in lines if (message := reader.feed(line))]


def test_a_stream_is_read_as_the_standard_says() -> None:
    lines = (": hello", "", "id: evt_1", "event: task.failed", "data: {}", "", "data:a", "data: b", "retry: 5", "", "event: ping", "")
    assert read(*lines) == [Message("evt_1", "task.failed", "{}"), Message("evt_1", "", "a\nb")]


def test_what_was_half_said_when_the_connection_broke_is_forgotten_but_not_the_last_id() -> None:
    reader = StreamReader()
    for line in ("id: evt_1", "data: 1", "", "id: evt_2", "data: half"):
        reader.feed(line)
    reader.forget()
    assert reader.feed("") is None
    assert reader.last_id == "evt_1"


@contextmanager
def scripted_stream(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str | None]]]:
    """A server that gives these answers in turn and closes each connection; its URL, and the Last-Event-ID of each request."""
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[len(asked)]
            asked.append(self.headers["last-event-id"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the standard library's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="scripted stream")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_stream_that_breaks_is_taken_up_behind_the_last_event() -> None:
    first, second = b"id: evt_1\ndata: 1\n\nid: evt_2\ndata: half", b"id: evt_2\ndata: 2\n\n"
    with scripted_stream((200, first), (503, b""), (200, second)) as (url, asked), Client(url, "rly_x") as client:
        assert [message.data for message in islice(follow(client), 2)] == ["1", "2"]
        assert asked == [None, "evt_1", "evt_1"]


def test_a_stream_that_is_refused_is_not_asked_for_again() -> None:
    with scripted_stream((401, b"")) as (url, _), Client(url, "rly_x") as client, pytest.raises(Failed, match="401"):
        next(follow(client))


def test_a_part_that_dies_stops_the_service_loudly_with_exit_code_1(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def die() -> None:
        raise RuntimeError("boom")

    @asynccontextmanager
    async def open_dying_app(*_args: object, **_more: object) -> AsyncIterator[SimpleNamespace]:
        async with asyncio.TaskGroup() as group:
            group.create_task(die(), name="a worker")
            yield SimpleNamespace(state=SimpleNamespace(stop=lambda: None))

    monkeypatch.setattr(serve, "open_app", open_dying_app)
    settings = prepare_data_dir(load_settings({"RELAY_DATA_DIR": str(tmp_path)})).settings
    with bind("127.0.0.1", 0) as listener:
        assert serve.run(settings, listener, "http://127.0.0.1", sandbox=False) == 1
    [record] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.exc_info
    assert "boom" in caplog.text


@pytest.mark.parametrize(("args", "said"), [
    ([], "list"), (["--limit", "5"], "list"), (["sub_1"], "show sub_1"), (["--json", "sub_1"], "show sub_1"), (["rm", "sub_1"], "rm sub_1"),
    (["--cursor", "sub_1"], "list"), (["show", "sub_1"], "show sub_1"),
])
def test_list_and_show_need_not_be_said(args: list[str], said: str) -> None:
    @click.group(cls=noun("sub_"))
    def group() -> None:
        pass

    @group.command("list")
    @click.option("--limit")
    @click.option("--cursor")
    def list_them(limit: str | None, cursor: str | None) -> None:  # noqa: ARG001 -- what the others take
        click.echo("list")

    for name in ("show", "rm"):
        @group.command(name)
        @click.argument("one")
        @click.option("--json", "as_json", is_flag=True)
        @click.pass_context
        def about_one(ctx: click.Context, one: str, *, as_json: bool) -> None:  # noqa: ARG001 -- what the others take
            click.echo(f"{ctx.info_name} {one}")

    assert CliRunner().invoke(group, args).output.strip() == said


def test_an_unknown_verb_is_complained_of() -> None:
    command = import_module("relay.cli.tasks").command
    result = CliRunner().invoke(command, ["cancell", "task_1"])
    assert result.exit_code == 2
    assert "No such command 'cancell'" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = import_module(f"relay.cli.{name}").command
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name]


def test_pairs_are_text_and_values_are_json_where_they_can_be() -> None:
    assert read_pairs(["order=A-17", "empty=", "x=a=b"]) == {"order": "A-17", "empty": "", "x": "a=b"}
    assert read_values(["quality=80", "on=true", "name=a b"]) == {"quality": 80, "on": True, "name": "a b"}
    with pytest.raises(click.UsageError):
        read_pairs(["order"])


@pytest.mark.parametrize(("value", "shown"), [
    (None, "-"), ("a\x1b[2Jb\n", r"a\x1b[2Jb\n"), (["a", "b"], "a, b"), ({"a": "\x9b"}, r'{"a": "\x9b"}'), (False, "false"), (3, "3"),
    ("\u202etxt", r"\u202etxt"),
])
def test_what_strangers_wrote_cannot_steer_a_terminal(value: object, shown: str) -> None:
    assert plain(value) == shown


def event(provider: str = "kie", *, kind: str = "task.succeeded", **task: Any) -> Receipt:
    body = {"id": f"evt_{provider}", "type": kind, "data": {"task": {"id": f"task_{provider}", "via": "callback", **task}}}
    return Receipt(1.5, body)


def faults_of(receipts: list[Receipt], picture: Picture = FINE) -> list[str]:
    rows, stray = judge({"kie": "task_kie"}, receipts, {"evt_kie": picture})
    return rows[0].faults + stray


def test_the_demo_is_well_when_each_event_came_once_with_an_image() -> None:
    rows, stray = judge({"kie": "task_kie", "segmind": "task_segmind"}, [event(), event("segmind")], {"evt_kie": FINE, "evt_segmind": FINE})
    assert [(row.provider, row.via, row.seconds, row.event_id, row.picture, row.faults) for row in rows] == [
        ("kie", "callback", 1.5, "evt_kie", FINE, []), ("segmind", "callback", 1.5, "evt_segmind", FINE, [])]
    assert not stray


@pytest.mark.parametrize(("receipts", "picture", "fault"), [
    ([], FINE, "no event came"),
    ([event(), event()], FINE, "its event came 2 times"),
    ([event(), Receipt(2, None, "a request does not verify")], FINE, "a request does not verify"),
    ([event(), event("other")], FINE, "an event came for a task that is not of the demo"),
    ([event(kind="task.failed", error={"code": "moderated", "message": "no"})], FINE, "task.failed: moderated, no"),
    ([event()], Picture(fault="its image does not open"), "its image does not open"),
], ids=["missing", "doubled", "unverified", "stray", "failed", "broken image"])
def test_the_demo_is_honest_about_what_is_wrong(receipts: list[Receipt], picture: Picture, fault: str) -> None:
    assert faults_of(receipts, picture) == [fault]


def test_the_demo_wants_an_image_in_each_event() -> None:
    rows, _ = judge({"kie": "task_kie"}, [event()], {})
    assert rows[0].faults == ["the event has no image"]
