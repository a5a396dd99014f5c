"""`relay listen` while the service restarts."""

import json
import signal
import subprocess
from pathlib import Path

from standardwebhooks.webhooks import Webhook

from tests.e2e.harness import free_port
from tests.e2e.shell import RELAY, Inbox, client, environment, running


def test_a_restart_loses_no_event_even_before_the_first_and_other_types_do_not_come(tmp_path: Path) -> None:
    inbox, port = Inbox(), str(free_port())
    environ = {"RELAY_URL": f"http://127.0.0.1:{port}", "RELAY_DATA_DIR": str(tmp_path / "relay-data")}
    with running("serve", "--sandbox", "--port", port, cwd=tmp_path) as service:
        listening = subprocess.Popen([*RELAY, "listen", "--to", inbox.url, "--type", "task.f*"], cwd=tmp_path,
                                     env=environment(**environ), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert listening.stdout
        secret = listening.stdout.readline().split()[-1]
        assert listening.stdout.readline() == f"listening to {environ['RELAY_URL']}\n"
        assert service.end() == 0
    with running("serve", "--sandbox", "--port", port, cwd=tmp_path):
        for kind in ("task.succeeded", "task.failed"):
            assert client("trigger", kind, **environ).exit_code == 0
        headers, body = inbox.await_one()
        assert Webhook(secret).verify(body, headers)["type"] == "task.failed"
        assert listening.stdout.readline() == f"listening to {environ['RELAY_URL']} again\n"
        assert "task.failed" in listening.stdout.readline()
        listening.send_signal(signal.SIGINT)
        assert listening.wait(timeout=10) == 0
    listening.stdout.close()
    inbox.close()
    assert [json.loads(body)["type"] for _, body in inbox.received] == ["task.failed"]


def test_a_type_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    with running("serve", "--port", "0", cwd=tmp_path) as service:
        environ = {"RELAY_URL": service.url, "RELAY_DATA_DIR": str(tmp_path / "relay-data")}
        for command in (["listen", "--type", "task.done"], ["trigger", "task.done"]):
            done = client(*command, **environ)
            assert done.exit_code == 1
            assert "task.succeeded, task.failed" in done.stderr
            assert done.stderr.count("\n") == 1
