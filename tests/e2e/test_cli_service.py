"""The service as it is started and stopped: real processes, with the sandbox built in."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shell import RELAY, Running, client, environment, run, running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Running]:
    with running("serve", "--sandbox", "--port", "0", cwd=home) as process:
        yield process
        assert process.end() == 0, process.log.read_text()


def test_the_first_start_writes_the_admin_key_for_its_owner_alone_and_does_not_print_it(service: Running, home: Path) -> None:
    path = home / "relay-data" / "admin-key"
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key not in service.said + service.log.read_text()
    assert str(path) in service.log.read_text()


def test_a_terminal_shows_the_admin_key_once(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen([*RELAY, "serve", "--port", "0"], cwd=tmp_path, env=environment(), stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    while b"is at http" not in said:
        said += os.read(ours, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    os.close(ours)
    assert (tmp_path / "relay-data" / "admin-key").read_text().strip() in said.decode()


def test_a_service_that_is_up_is_healthy_and_one_that_is_not_is_not(service: Running) -> None:
    assert client("healthcheck", RELAY_URL=service.url).output == "ready\n"
    assert client("healthcheck", RELAY_PORT=service.url.rpartition(":")[2]).output == "ready\n"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = client("healthcheck", RELAY_PORT=str(taken.getsockname()[1]))
    assert done.exit_code == 1
    assert "relay serve" in done.stderr


def test_a_taken_port_is_one_clear_line_and_exit_code_1(service: Running, tmp_path: Path) -> None:
    done = run("serve", "--port", service.url.rpartition(":")[2], cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "relay-data").exists()


def test_a_second_process_on_the_same_data_is_refused(service: Running, home: Path) -> None:
    assert service.process.returncode is None
    done = run("serve", "--port", "0", cwd=home)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "relay.db" in done.stderr


def test_wrong_settings_are_all_listed_with_exit_code_2(tmp_path: Path) -> None:
    done = run("serve", cwd=tmp_path, RELAY_PORT="x", RELAY_RETENTON="1d", RELAY_ADMIN_KEY="rly_sh0rt")
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("RELAY_PORT", "RELAY_RETENTON", "did you mean RELAY_RETENTION", "RELAY_ADMIN_KEY"))
    assert "sh0rt" not in done.stderr


def test_the_sandbox_is_refused_where_other_machines_reach_it(tmp_path: Path) -> None:
    done = run("serve", "--sandbox", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path)  # noqa: S104 -- to be refused
    assert done.returncode == 2
    assert "loopback only" in done.stderr


def test_on_sqlite_no_process_does_only_a_part(tmp_path: Path) -> None:
    done = run("serve", "--role", "worker", "--port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "--role: worker is for PostgreSQL" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_sandbox_with_exit_code_0(tmp_path: Path, how: signal.Signals) -> None:
    with running("sandbox", "--port", "0", cwd=tmp_path) as process:
        assert process.end(how) == 0


def test_migrate_makes_the_schema_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    first, second = client("migrate", RELAY_DATA_DIR=str(tmp_path)), client("migrate", RELAY_DATA_DIR=str(tmp_path))
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert first.stdout.startswith("applied 0001")
    assert "nothing to do" in second.stdout
    assert (tmp_path / "relay.db").exists()


def test_config_shows_what_is_in_force_and_no_secret(tmp_path: Path) -> None:
    done = client("config", "--json", RELAY_DATA_DIR=str(tmp_path), RELAY_PORT="9", RELAY_KIE_API_KEY="k1e-key")
    shown = {row["name"]: row for row in json.loads(done.stdout)}
    assert shown["RELAY_PORT"] == {"name": "RELAY_PORT", "value": "9", "source": "environment"}
    assert shown["RELAY_KIE_API_KEY"]["value"] == "********"
    table = client("config", RELAY_DATA_DIR=str(tmp_path), RELAY_KIE_API_KEY="k1e-key").stdout
    assert "RELAY_SHUTDOWN_GRACE" in table
    assert "k1e-key" not in table


def test_help_comes_without_loading_the_service(tmp_path: Path) -> None:
    code = "import sys, relay.cli; sys.argv = ['relay', '--help']\ntry: relay.cli.main()\nexcept SystemExit: pass\n" \
           "print(sorted({'httpx', 'uvicorn', 'starlette', 'rich', 'relay.app'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
