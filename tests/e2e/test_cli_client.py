"""The API from a shell, against a real service with the sandbox built in."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from standardwebhooks.webhooks import Webhook

from tests.e2e.shell import RELAY, Inbox, Running, client, environment, running


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Running]:
    with running("serve", "--sandbox", "--port", "0", cwd=home) as process:
        yield process
        assert process.end() == 0, process.log.read_text()


@pytest.fixture
def relay(service: Running, home: Path) -> Any:
    """Runs a client command against the service, in this process, and gives its output, as JSON if it is."""

    def call(*arguments: str, code: int = 0, **extra: str) -> Any:
        done = client(*arguments, RELAY_URL=service.url, RELAY_DATA_DIR=str(home / "relay-data"), **extra)
        assert done.exit_code == code, done.output
        if code:
            assert not done.stdout
            return done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return call


def test_submit_waits_and_saves_the_image(relay: Any, tmp_path: Path) -> None:
    target = tmp_path / "boat.png"
    said = relay("submit", "--provider", "kie", "a red boat", "--metadata", "order=A-17", "-o", str(target))
    assert f"saved {target}" in said
    with Image.open(target) as image:
        image.load()


def test_several_images_are_numbered_in_a_folder(relay: Any, tmp_path: Path) -> None:
    said = relay("submit", "--provider", "yescale", "two boats", "-n", "2", "-o", str(tmp_path))
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert [name.rpartition("-")[2] for name in saved] == ["1.png", "2.png"]
    assert all(name.startswith("task_") and str(tmp_path / name) in said for name in saved)


def test_a_folder_that_is_named_with_a_slash_is_made(relay: Any, tmp_path: Path) -> None:
    relay("submit", "--provider", "kie", "a boat", "-o", f"{tmp_path}/new/er/")
    assert [path.suffix for path in (tmp_path / "new" / "er").iterdir()] == [".jpg"]


def test_what_a_command_did_can_be_read_by_a_program(relay: Any) -> None:
    name = relay("subscriptions", "add", "http://127.0.0.1:9/json", "--json")["id"]
    secret = relay("subscriptions", "rotate", name, "--json")["secret"]
    assert relay("subscriptions", "secret", name, "--json")["secret"] == secret
    assert relay("subscriptions", "rm", name, "--json") == {}
    assert relay("keys", "rm", relay("keys", "add", "ci", "--scope", "read", "--json")["id"], "--json") == {}
    task = relay("submit", "--provider", "kie", "a boat", "--wait", "--json", "-o", "/dev/null")["id"]
    assert relay("tasks", "erase", task, "--yes", "--json") == {}


def test_an_input_picture_may_be_a_file(relay: Any, tmp_path: Path) -> None:
    picture = tmp_path / "in.png"
    Image.new("RGB", (64, 64)).save(picture)
    task = relay("submit", "--provider", "serevix", "like this", "--image", str(picture), "--json")
    assert task["input"]["image"].startswith("http")
    assert "No such file" in relay("submit", "--provider", "serevix", "x", "--image", str(tmp_path / "absent.png"), code=1)


def test_submit_sends_each_field_as_it_was_given(relay: Any) -> None:
    task = relay("submit", "--provider", "apiframe", "a boat", "--width", "512", "--height", "768", "--seed", "7", "--no-prompt-upsampling",
                 "--metadata", "order=A-17", "--json")
    assert task["status"] == "queued"
    assert task["metadata"] == {"order": "A-17"}
    assert {name: task["input"][name] for name in ("width", "height", "seed", "prompt_upsampling")} == {
        "width": 512, "height": 768, "seed": 7, "prompt_upsampling": False}
    assert relay("tasks", task["id"], "--json")["id"] == task["id"]


def test_a_task_that_fails_is_one_line_and_exit_code_1(relay: Any) -> None:
    said = relay("submit", "--provider", "kie", "sandbox:moderated", "--wait", code=1)
    assert "failed:" in said
    assert "(moderated)" in said


def test_a_refusal_names_the_field_on_one_line(relay: Any) -> None:
    said = relay("submit", "--provider", "kie", "a boat", "--width", "512", code=1)
    assert re.fullmatch(r"relay: .*width.*unsupported_parameter.*\n", said.splitlines(keepends=True)[-1])
    assert "Traceback" not in said


def test_subscriptions_are_added_tried_listed_and_removed(relay: Any, inbox: Inbox) -> None:
    made = relay("subscriptions", "add", inbox.url, "--event", "task.*", "--provider", "kie", "--json")
    relay("subscriptions", "test", made["id"])
    headers, body = inbox.await_one()
    assert Webhook(made["secret"]).verify(body, headers)["type"] == "ping"
    assert relay("subscriptions", "secret", made["id"]).strip() == made["secret"]
    assert made["id"] in relay("subscriptions")
    assert relay("subscriptions", made["id"], "--json")["events"] == ["task.*"]
    deliveries = relay("deliveries", "--subscription", made["id"], "--json")["data"]
    assert [delivery["event_type"] for delivery in deliveries] == ["ping"]
    assert relay("deliveries", "attempts", deliveries[0]["id"])
    assert relay("subscriptions", "rotate", made["id"]).startswith("whsec_")
    relay("subscriptions", "pause", made["id"])
    assert relay("subscriptions", "resume", made["id"], "--json")["status"] == "active"
    relay("subscriptions", "rm", made["id"])
    assert made["id"] not in relay("subscriptions")


def test_a_subscription_may_bring_a_body_of_its_own(relay: Any, inbox: Inbox, tmp_path: Path) -> None:
    template = tmp_path / "body.json"
    template.write_text('{"größe": "{{ type }}!"}', encoding="utf-8")
    made = relay("subscriptions", "add", inbox.url, "--template", str(template), "--json")
    relay("subscriptions", "test", made["id"])
    headers, body = inbox.await_one()
    assert Webhook(made["secret"]).verify(body, headers) == {"größe": "ping!"}


def test_trigger_sends_a_sample_through_the_whole_path(relay: Any, inbox: Inbox) -> None:
    made = relay("subscriptions", "add", inbox.url, "--json")
    relay("trigger", "task.failed")
    headers, body = inbox.await_one()
    assert Webhook(made["secret"]).verify(body, headers)["type"] == "task.failed"
    assert "task.failed" in relay("events")
    relay("subscriptions", "rm", made["id"])


def test_keys_are_added_used_and_revoked(relay: Any) -> None:
    made = relay("keys", "add", "reader", "--scope", "read", "--via", "yescale=kie", "--json")
    assert made["via"] == {"yescale": "kie"}
    relay("tasks", RELAY_API_KEY=made["key"])
    assert "forbidden" in relay("submit", "--provider", "kie", "x", code=1, RELAY_API_KEY=made["key"])
    assert "reader" in relay("keys")
    relay("keys", "rm", made["id"])
    assert "unauthorized" in relay("tasks", code=1, RELAY_API_KEY=made["key"])


def test_listen_signs_what_it_streams_to_a_local_url(service: Running, home: Path, inbox: Inbox, relay: Any) -> None:
    listening = subprocess.Popen(
        [*RELAY, "listen", "--to", inbox.url], cwd=home, env=environment(RELAY_URL=service.url), stdout=subprocess.PIPE, text=True)
    assert listening.stdout
    secret = listening.stdout.readline().split()[-1]
    assert listening.stdout.readline().startswith("listening to ")
    relay("trigger", "task.succeeded")
    headers, body = inbox.await_one()
    assert Webhook(secret).verify(body, headers)["type"] == "task.succeeded"
    assert "-> 200" in listening.stdout.readline()
    listening.send_signal(signal.SIGINT)
    assert listening.wait(timeout=10) == 0
    listening.stdout.close()


def test_without_a_service_a_command_says_how_to_start_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = client("tasks", RELAY_URL=f"http://127.0.0.1:{free.getsockname()[1]}", RELAY_API_KEY="rly_x")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "relay serve" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_key_a_command_says_where_one_is_looked_for(tmp_path: Path) -> None:
    done = client("tasks", RELAY_DATA_DIR=str(tmp_path))
    assert done.exit_code == 1
    assert "RELAY_API_KEY" in done.stderr
    assert "admin-key" in done.stderr
