"""The command line and PostgreSQL: what is wrong with the address of the database is said in words, and without its password."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.harness import ADMIN_KEY, free_port
from tests.e2e.shell import RELAY, client, environment, run, running
from tests.postgres import PostgresServer

_KEYS: Final = {"RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_SECRET_KEYS": "k" * 32}


def with_password(url: str) -> str:
    return url.replace("postgres@", "postgres:hunter2@")


def test_migrate_makes_the_schema_and_then_has_nothing_to_do(tmp_path: Path, postgres: PostgresServer) -> None:
    given = {**_KEYS, "RELAY_DATA_DIR": str(tmp_path), "RELAY_DATABASE_URL": postgres.new_database()}
    first, second = client("migrate", **given), client("migrate", **given)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert first.stdout.startswith("applied 0001")
    assert "nothing to do" in second.stdout


def test_two_that_migrate_at_the_same_moment_do_not_get_in_each_others_way(tmp_path: Path, postgres: PostgresServer) -> None:
    env = environment(**_KEYS, RELAY_DATA_DIR=str(tmp_path), RELAY_DATABASE_URL=postgres.new_database())
    started = [subprocess.Popen([*RELAY, "migrate"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [(process.communicate(timeout=60), process.returncode) for process in started]
    assert [code for _, code in said] == [0, 0, 0], said
    assert sum("applied 0001" in out for (out, _), _ in said) == 1


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("migrate",)], ids=lambda command: command[0])
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    url = f"postgresql://relay:hunter2@127.0.0.1:{free_port()}/relay"
    done = run(*command, cwd=tmp_path, **_KEYS, RELAY_DATABASE_URL=url)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "database" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_database_that_is_not_there_is_named(tmp_path: Path, postgres: PostgresServer) -> None:
    done = run("serve", "--port", "0", cwd=tmp_path, **_KEYS, RELAY_DATABASE_URL=with_password(postgres.url_of("nowhere")))
    assert done.returncode == 2
    assert "RELAY_DATABASE_URL" in done.stderr
    assert 'database "nowhere" does not exist' in done.stderr
    assert "hunter2" not in done.stderr


def test_without_what_it_needs_postgresql_is_refused_with_the_name_of_the_extra(tmp_path: Path, postgres: PostgresServer) -> None:
    code = "import sys; sys.modules['asyncpg'] = None; import relay.cli; relay.cli.main()"
    env = environment(**_KEYS, RELAY_DATABASE_URL=postgres.url)
    command = [sys.executable, "-c", code, "serve"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "flux-relay[postgres]" in done.stderr


def test_without_the_secret_keys_that_all_share_nothing_is_started(tmp_path: Path, postgres: PostgresServer) -> None:
    done = run("serve", cwd=tmp_path, RELAY_DATABASE_URL=postgres.url)
    assert done.returncode == 2
    assert "RELAY_SECRET_KEYS: must be given with PostgreSQL" in done.stderr
    assert not (tmp_path / "relay-data").exists()


def test_the_password_is_shown_nowhere(tmp_path: Path, postgres: PostgresServer) -> None:
    url = with_password(postgres.new_database())
    shown = client("config", **_KEYS, RELAY_DATABASE_URL=url)
    assert shown.exit_code == 0, shown.output
    assert "hunter2" not in shown.output
    with running("serve", "--port", "0", cwd=tmp_path, RELAY_LOG_LEVEL="debug", RELAY_DATABASE_URL=url, **_KEYS) as process:
        assert process.end() == 0, process.log.read_text()
        assert "hunter2" not in process.said + process.log.read_text()


def test_an_installation_moves(tmp_path: Path, postgres: PostgresServer) -> None:
    with running("serve", "--port", "0", cwd=tmp_path) as process:
        key = (tmp_path / "relay-data" / "admin-key").read_text().strip()
        made = client("subscriptions", "add", "https://a.example/hook", RELAY_URL=process.url, RELAY_API_KEY=key)
        assert made.exit_code == 0, made.output
        process.end()
    given = {"RELAY_ADMIN_KEY": key, "RELAY_DATA_DIR": str(tmp_path / "new")}
    source, target = f"sqlite:///{tmp_path}/relay-data/relay.db", postgres.new_database()
    wrong = client("import", "--from", source, "--to", target, **given, RELAY_SECRET_KEYS="x" * 32)
    assert "RELAY_SECRET_KEYS: must be the keys that the database was used with" in str(wrong.exception)
    given["RELAY_SECRET_KEYS"] = (tmp_path / "relay-data" / "secret-keys").read_text().strip()
    done = client("import", "--from", source, "--to", target, **given)
    assert done.exit_code == 0, done.output
    assert "1 subscriptions" in done.stdout
    assert f"copy the folder {tmp_path}/relay-data/images" in done.stdout
    with running("serve", "--port", "0", cwd=tmp_path, **given, RELAY_DATABASE_URL=target) as process:
        shown = client("subscriptions", "list", RELAY_URL=process.url, RELAY_API_KEY=key)
        assert "https://a.example/hook" in shown.stdout
    again = client("import", "--from", source, "--to", target, **given)
    assert "not empty" in str(again.exception)


@pytest.mark.parametrize("given", [("--from", "postgresql://a/b"), ("--from", "relay.db"), ("--from", "sqlite:///absent.db")], ids=" ".join)
def test_what_cannot_be_imported_is_told_by_its_option(tmp_path: Path, given: tuple[str, ...]) -> None:
    done = run("import", *given, "--to", "postgresql://relay@127.0.0.1:1/relay", cwd=tmp_path, **_KEYS)
    assert done.returncode == 2
    assert "--from: " in done.stderr
