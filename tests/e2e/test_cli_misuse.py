"""The command line in wrong hands: one line that says what to do, never a traceback, and no secret in it."""

import asyncio
import logging
from pathlib import Path

import pytest

from relay.cli.first_start import prepare_data_dir
from relay.cli.images import NotSaved, save_images
from relay.cli.server import Occupied, Server, bind
from relay.errors import ConfigError
from relay.settings import load_settings
from tests.e2e.shell import Inbox, client

KEY = "rly_" + "k" * 32


@pytest.mark.parametrize("url", ["http://[bad", "http://", "ftp://127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1:99999", "http://a\tb"])
@pytest.mark.parametrize("command", ["tasks", "healthcheck", "listen"])
def test_a_wrong_service_url_is_one_line(command: str, url: str) -> None:
    done = client(command, RELAY_URL=url, RELAY_API_KEY=KEY)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("relay: RELAY_URL must be an http(s) URL")


@pytest.mark.parametrize("key", ["rly_hünter2", "rly_\nhunter2", "rly_ hunter2"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    done = client("tasks", RELAY_URL="http://127.0.0.1:9", RELAY_API_KEY=key)
    assert done.exit_code == 1
    assert done.stderr == "relay: the API key in RELAY_API_KEY must be visible ASCII characters without spaces\n"


def test_a_key_file_that_no_header_can_hold_is_named(tmp_path: Path) -> None:
    (tmp_path / "admin-key").write_bytes(b"rly_\xff\xfe")
    done = client("tasks", RELAY_URL="http://127.0.0.1:9", RELAY_DATA_DIR=str(tmp_path))
    assert str(tmp_path / "admin-key") in done.stderr
    assert done.exit_code == 1


@pytest.mark.parametrize("target", ["http://[bad", "localhost:9000", "ftp://127.0.0.1/", "http://"])
def test_listen_wants_a_url_before_it_listens(target: str) -> None:
    done = client("listen", "--to", target, RELAY_URL="http://127.0.0.1:9", RELAY_API_KEY=KEY)
    assert done.exit_code == 2
    assert "--to" in done.stderr


def test_a_host_that_has_no_address_is_told_without_words_of_the_inside() -> None:
    with pytest.raises(Occupied) as caught:
        bind("nowhere.invalid", 0)
    assert "while attempting" not in str(caught.value)


def test_a_file_in_the_place_of_the_data_folder_is_told(tmp_path: Path) -> None:
    place = tmp_path / "relay-data"
    place.touch()
    with pytest.raises(ConfigError) as caught:
        prepare_data_dir(load_settings({"RELAY_DATA_DIR": str(place)}))
    assert [problem.message for problem in caught.value.problems] == [f"{place} is not a folder"]


def test_an_image_that_is_refused_is_told_in_one_line_without_its_link() -> None:
    inbox = Inbox()  # it takes POST alone
    try:
        with pytest.raises(NotSaved) as caught:
            save_images({"id": "task_1", "images": [{"url": f"{inbox.url}/a.png?token=hunter2"}]}, None)
    finally:
        inbox.close()
    assert "answered 501" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_request_that_is_cut_off_at_the_stop_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def never(_scope: object, _receive: object, _send: object) -> None:
        await asyncio.Event().wait()

    async def cut_off() -> None:
        with bind("127.0.0.1", 0) as listener:
            server = Server(never, grace=0.01, on_start=lambda: None, on_stop=lambda: None)
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[listener]), name="server")
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                while not server.server_state.tasks:
                    await asyncio.sleep(0.01)
                server.stop()
                await reader.read()
                writer.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(cut_off())

    assert "Cancel 1 running task(s)" in caplog.text
    assert "Traceback" not in caplog.text
