"""What did not arrive: found, sent once more and watched from a shell, against a real service with the sandbox built in."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
import pytest

from relay.ids import new_id
from tests.e2e.shell import RELAY, Inbox, Running, client, environment, running

NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Running]:
    """Gives each delivery one attempt."""
    with running("serve", "--sandbox", "--port", "0", cwd=home, RELAY_RETRY_SCHEDULE="0s") as process:
        yield process
        assert process.end() == 0, process.log.read_text()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


class Shell:
    """Runs client commands as one account of its own."""

    def __init__(self, service: Running, key: str) -> None:
        self.environ = {"RELAY_URL": service.url, "RELAY_API_KEY": key}

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        """Its output, as JSON if it is; of a failure what it says on stderr."""
        done = client(*arguments, **self.environ)
        assert done.exit_code == code, done.output
        if code:
            return done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    def ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """What there is no command for."""
        answer = httpx.request(method, f"{self.environ['RELAY_URL']}/api/v1/{path}", json=body,
                               headers={"x-api-key": self.environ["RELAY_API_KEY"]})
        assert answer.is_success, answer.text
        return answer.json()

    def subscribe(self, url: str = NOWHERE) -> str:
        return str(self("subscriptions", "add", url, "--event", "*", "--json")["id"])

    def lose(self, subscription_id: str, kind: str = "task.succeeded") -> str:
        """A delivery of such an event that has failed for good."""
        delivery = self("subscriptions", "test", subscription_id, "--type", kind, "--json")["id"]
        while (status := self("deliveries", delivery, "--json")["status"]) == "pending":
            pass
        assert status == "exhausted"
        return str(delivery)

    def ids(self, *arguments: str) -> list[str]:
        return [one["id"] for one in self(*arguments, "--json")["data"]]


@pytest.fixture
def relay(service: Running, home: Path) -> Shell:
    admin, account = Shell(service, (home / "relay-data" / "admin-key").read_text().strip()), new_id("test")
    admin.ask("POST", "accounts", {"name": account})
    scopes = [word for scope in ("submit", "read", "subscribe") for word in ("--scope", scope)]
    return Shell(service, admin("keys", "add", "shell", *scopes, "--account", account, "--json")["key"])


def test_failed_deliveries_are_those_that_were_given_up(relay: Shell) -> None:
    subscription = relay.subscribe()
    lost = relay.lose(subscription)
    relay("subscriptions", "pause", subscription)
    relay("subscriptions", "test", subscription)
    assert relay.ids("deliveries", "--failed") == relay.ids("deliveries", "--status", "exhausted", "--failed") == [lost]
    assert len(relay.ids("deliveries")) == 2
    assert "--status exhausted" in relay("deliveries", "--failed", "--status", "held", code=2)


def test_deliveries_are_listed_by_type_and_time(relay: Shell) -> None:
    lost = relay.lose(relay.subscribe(), "task.failed")
    assert relay.ids("deliveries", "--type", "task.failed", "--since", "5m") == [lost]
    assert relay.ids("deliveries", "--type", "task.succeeded") == relay.ids("deliveries", "--since", "2100-01-01T00:00:00Z") == []


def test_tasks_are_listed_by_metadata_and_time(relay: Shell) -> None:
    first, second = (relay("submit", "--provider", "kie", "a boat", "--metadata", f"order={order}", "--json")["id"] for order in "AB")
    assert relay.ids("tasks", "--metadata", "order=A") == [first]
    assert relay.ids("tasks", "--created-after", "1h", "--created-before", "2100-01-01T00:00:00+01:00") == [second, first]
    assert relay.ids("tasks", "--created-before", "1h") == []


@pytest.mark.parametrize("moment", ["yesterday", "2h30m", "2026-01-01", "2026-01-01T00:00:00", "-2h", ""])
@pytest.mark.parametrize("command", [["deliveries", "--since"], ["tasks", "--created-after"], ["replay", "sub_1", "--until"]])
def test_what_is_no_moment_is_refused_with_examples(command: list[str], moment: str) -> None:
    done = client(*command, moment, RELAY_URL="http://127.0.0.1:9", RELAY_API_KEY="rly_x")
    assert done.exit_code == 2
    assert "2h" in done.stderr


def test_a_replay_sends_what_failed_once_more_and_shows_how_far_it_is(relay: Shell, inbox: Inbox) -> None:
    subscription = relay.subscribe()
    relay.lose(subscription)
    relay.lose(subscription, "task.failed")
    relay.ask("PATCH", f"subscriptions/{subscription}", {"url": inbox.url})
    said = relay("replay", subscription, "--failed", "--type", "task.f*", "--since", "1h")
    assert "done 1 of 1" in said
    assert f"to {subscription}: done, 1 of 1 attempted" in said
    assert json.loads(inbox.await_one()[1])["type"] == "task.failed"
    replay = relay("replay", "--all", "--failed", "--json")
    assert [(one["subscription_id"], one["status"], one["done"]) for one in replay["data"]] == [(subscription, "done", 1)]
    assert [json.loads(body)["type"] for _, body in inbox.received] == ["task.failed", "task.succeeded"]


def test_a_replay_to_a_subscription_that_is_paused_is_not_waited_for(relay: Shell) -> None:
    subscription = relay.subscribe()
    relay("subscriptions", "pause", subscription)
    said = relay("replay", subscription, code=1)
    assert f"{subscription} is paused. Go on: relay subscriptions resume {subscription}" in said


def test_a_replay_is_begun_listed_looked_at_and_cancelled(relay: Shell) -> None:
    subscription = relay.subscribe()
    relay("subscriptions", "pause", subscription)
    replay = relay("replay", subscription, "--status", "delivered", "--no-wait", "--json")
    assert (replay["status"], replay["delivery_status"]) == ("running", "delivered")
    assert relay.ids("replays", "--subscription", subscription) == [replay["id"]]
    assert relay("replays", replay["id"], "--json")["subscription_id"] == subscription
    assert relay("replays", "cancel", replay["id"], "--json")["status"] == "cancelled"
    assert "cancelled" in relay("replays", "watch", replay["id"])


@pytest.mark.parametrize("arguments", [[], ["--all"], ["sub_1", "--all", "--failed"], ["sub_1", "--failed", "--status", "held"]])
def test_a_replay_wants_to_know_of_what_and_to_whom(relay: Shell, arguments: list[str]) -> None:
    assert "Usage: relay replay" in relay("replay", *arguments, code=2)


def test_on_a_terminal_a_bar_shows_it(relay: Shell, inbox: Inbox, home: Path) -> None:
    subscription = relay.subscribe(inbox.url)
    relay("trigger", "task.succeeded")
    inbox.await_one()
    ours, theirs = os.openpty()
    environ = environment(**relay.environ, TERM="xterm", COLUMNS="120")
    process = subprocess.Popen([*RELAY, "replay", subscription], cwd=home, env=environ, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    while b"attempted" not in said:
        said += os.read(ours, 1000)
    assert process.wait(timeout=30) == 0
    os.close(ours)
    assert "━" in said.decode()
    assert "1/1" in said.decode()


def test_an_interrupt_ends_the_watching_and_not_the_replay(relay: Shell, home: Path) -> None:
    for _ in range(3):
        relay("trigger", "ping")
    subscription = relay.ask("POST", "subscriptions", {"url": NOWHERE, "events": ["ping"], "rate_per_second": 0.001})["id"]
    process = subprocess.Popen(
        [*RELAY, "replay", subscription], cwd=home, env=environment(**relay.environ), text=True, stdout=PIPE, stderr=PIPE)
    assert process.stdout
    replay = process.stdout.readline().split()[0]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said == f"{replay} goes on. Look again: relay replays watch {replay}. Stop it: relay replays cancel {replay}\n"
    assert relay("replays", replay, "--json")["status"] == "running"
    assert f"{replay} to {subscription}: cancelled" in relay("replays", "cancel", replay)
