"""What is written down to run Relay for real: every name in it exists, and what its parts say of each other is so."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml  # type: ignore[import-untyped,unused-ignore] # its types are a package of their own

from relay.cli import COMMANDS, cli
from relay.settings import CLIENT_NAMES
from relay.settings.catalog import BY_NAME, CONFIG_NAME
from relay.stores.postgres.target import read_target

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
FILES: Final = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".php", ".go", ".mjs"))
COMPOSE: Final = sorted(DEPLOY.glob("compose*.yaml"))
SCALE: Final = yaml.safe_load((DEPLOY / "compose.scale.yaml").read_text())["services"]


def services() -> Iterator[Any]:
    for path in COMPOSE:
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            yield pytest.param(path, service, id=f"{path.name}-{name}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"RELAY_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
    assert {name.removesuffix("_FILE") for name in named} <= {*BY_NAME, CONFIG_NAME, *CLIENT_NAMES}


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_what_services_depend_on_is_there(path: Path) -> None:
    whole = yaml.safe_load(path.read_text())
    for service in whole["services"].values():
        for other, on in service.get("depends_on", {}).items():
            needs_health = on["condition"] == "service_healthy" and "dockerfile" not in whole["services"][other].get("build", {})
            assert not needs_health or "healthcheck" in whole["services"][other]
        named = [mount.partition(":")[0] for mount in service.get("volumes", ())]
        assert {name for name in named if "/" not in name} <= set(whole["volumes"])
        assert all((path.parent / name).is_file() for name in named if "/" in name)
        assert {config["source"] for config in service.get("configs", ())} <= set(whole.get("configs", {}))


@pytest.mark.parametrize(("path", "service"), list(services()))
def test_what_is_built_and_run_is_there(path: Path, service: dict[str, Any]) -> None:
    build = service.get("build", {})
    assert build or service["image"]
    if "dockerfile" in build:
        assert (path.parent / build["context"] / build["dockerfile"]).is_file()
        command, *arguments = service.get("command", ["serve"])
        assert command in COMMANDS
        found = cli.get_command(click.Context(cli), command)
        assert found
        found.make_context(command, list(arguments), resilient_parsing=False)


def test_the_proxy_asks_each_relay_whether_it_is_ready() -> None:
    proxy = (DEPLOY / "scale" / "haproxy.cfg").read_text()
    assert "httpchk GET /readyz" in proxy
    places, target = re.findall(r"server-template \w+ (\d+) (\S+)", proxy)[0]
    assert int(places) >= SCALE["relay"]["deploy"]["replicas"] == 3
    assert target == "relay:8080"
    assert SCALE["proxy"]["ports"][0].rpartition(":")[2] == re.findall(r"bind :(\d+)", proxy)[0]


def test_all_processes_go_through_the_pool_to_the_database_that_is_migrated_directly() -> None:
    pool = configparser.ConfigParser(comment_prefixes=(";",))
    pool.read(DEPLOY / "scale" / "pgbouncer.ini")
    host, port, name = (part.partition("=")[2] for part in pool["databases"]["relay"].split())
    assert f"@{host}:{port}/{name}" in SCALE["migrate"]["environment"]["RELAY_DATABASE_URL"]
    target = read_target(SCALE["relay"]["environment"]["RELAY_DATABASE_URL"].replace("${POSTGRES_PASSWORD:?}", "word"))
    assert target.dsn == f"postgresql://relay:word@pgbouncer:{pool['pgbouncer']['listen_port']}/relay"
    assert target.hints_dsn == f"postgresql://relay:word@{host}:{port}/{name}", "no pooled connection hears a hint"
    assert pool["pgbouncer"]["pool_mode"] == "transaction"
    assert name == SCALE["postgres"]["environment"]["POSTGRES_DB"]


def test_pictures_are_kept_where_every_relay_finds_them() -> None:
    container = (DEPLOY / "Containerfile").read_text()
    assert SCALE["relay"]["volumes"] == ["pictures:/data"]
    assert "RELAY_DATA_DIR=/data" in container
    assert "[postgres]" in container
