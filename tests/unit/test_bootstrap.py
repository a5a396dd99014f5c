"""The set-up step: when it has nothing to do, when it starts anew, and what it says when it cannot go on."""

import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import bootstrap
from deploy.bootstrap import SetupError, Stamp

PROJECT: dict[str, Any] = {
    "build-system": {"requires": ["hatchling"]},
    "project": {"name": "thing", "dependencies": ["click"]},
    "dependency-groups": {"test": ["pytest"], "docs": []},
    "tool": {"ruff": {"line-length": 120}},
}

NO_ROUTE = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<HTTPSConnection object>: Failed to \
establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/hatchling/
ERROR: Could not find a version that satisfies the requirement hatchling>=1.27 (from versions: none)
ERROR: No matching distribution found for hatchling>=1.27
"""
UNTRUSTED = """\
Could not fetch URL https://index.invalid/simple/pip/: There was a problem confirming the ssl certificate: [SSL: \
CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate - skipping
ERROR: No matching distribution found for hatchling>=1.27
"""
NO_BUNDLE = "OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /etc/ssl/certs/ca-certificates.crt"
APT_OFFLINE = "E: Unable to locate package python3-pip-whl\n"
CONFLICT = """\
Collecting click>=99
ERROR: Could not find a version that satisfies the requirement click>=99 (from versions: 8.1, 8.2)
ERROR: No matching distribution found for click>=99
"""


def _finish(environment: Path, stamp: Stamp) -> None:
    """Lay out what a whole environment has, without the minute that it takes to make one."""
    (environment / "bin").mkdir(parents=True, exist_ok=True)
    (environment / "lib" / bootstrap.python_folder()).mkdir(parents=True, exist_ok=True)
    for program in ("python", "relay"):
        (environment / "bin" / program).touch()
    bootstrap.write_stamp(environment, stamp)


def test_a_finished_environment_needs_nothing(tmp_path: Path) -> None:
    wanted = bootstrap.stamp_for(tmp_path, PROJECT, [])
    _finish(tmp_path / ".venv", wanted)
    assert bootstrap.is_ready(tmp_path / ".venv", wanted)


def test_an_environment_with_more_groups_serves_one_who_wants_fewer(tmp_path: Path) -> None:
    _finish(tmp_path / ".venv", bootstrap.stamp_for(tmp_path, PROJECT, ["test"]))
    assert bootstrap.is_ready(tmp_path / ".venv", bootstrap.stamp_for(tmp_path, PROJECT, []))
    assert not bootstrap.is_ready(tmp_path / ".venv", bootstrap.stamp_for(tmp_path, PROJECT, ["docs"]))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"project": {"name": "thing", "dependencies": ["click>=8"]}}, id="a dependency"),
        pytest.param({"dependency-groups": {"test": ["pytest>=8"], "docs": []}}, id="a group"),
        pytest.param({"build-system": {"requires": ["setuptools"]}}, id="the build"),
        pytest.param({"tool": {"hatch": {"version": {"path": "x"}}}}, id="the build's settings"),
    ],
)
def test_what_would_be_installed_otherwise_makes_an_environment_stale(tmp_path: Path, change: dict[str, Any]) -> None:
    _finish(tmp_path / ".venv", bootstrap.stamp_for(tmp_path, PROJECT, []))
    wanted = bootstrap.stamp_for(tmp_path, PROJECT | change, [])
    assert not bootstrap.is_ready(tmp_path / ".venv", wanted)
    assert bootstrap.can_be_renewed(tmp_path / ".venv", wanted)


def test_a_linter_setting_leaves_an_environment_as_it_is(tmp_path: Path) -> None:
    changed = PROJECT | {"tool": {"ruff": {"line-length": 80}}}
    assert bootstrap.stamp_for(tmp_path, changed, []) == bootstrap.stamp_for(tmp_path, PROJECT, [])


def test_an_environment_whose_python_was_removed_is_made_anew(tmp_path: Path) -> None:
    wanted = bootstrap.stamp_for(tmp_path, PROJECT, [])
    _finish(tmp_path / ".venv", wanted)
    python = tmp_path / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert not bootstrap.is_ready(tmp_path / ".venv", wanted)
    assert not bootstrap.can_be_renewed(tmp_path / ".venv", wanted)


def test_an_environment_that_moved_is_made_anew(tmp_path: Path) -> None:
    _finish(tmp_path / ".venv", bootstrap.stamp_for(tmp_path / "elsewhere", PROJECT, []))
    assert not bootstrap.can_be_renewed(tmp_path / ".venv", bootstrap.stamp_for(tmp_path, PROJECT, []))


def test_an_environment_made_by_hand_is_completed_not_thrown_away(tmp_path: Path) -> None:
    wanted = bootstrap.stamp_for(tmp_path, PROJECT, [])
    _finish(tmp_path / ".venv", wanted)
    (tmp_path / ".venv" / bootstrap.STAMP).unlink()
    assert not bootstrap.is_ready(tmp_path / ".venv", wanted)
    assert bootstrap.can_be_renewed(tmp_path / ".venv", wanted)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"place": "", "needs": "", "groups": []}', "\0"])
def test_an_unfinished_or_damaged_stamp_counts_as_nothing_done(tmp_path: Path, content: str) -> None:
    wanted = bootstrap.stamp_for(tmp_path, PROJECT, [])
    _finish(tmp_path / ".venv", wanted)
    (tmp_path / ".venv" / bootstrap.STAMP).write_text(content)
    assert not bootstrap.is_ready(tmp_path / ".venv", wanted)
    assert not bootstrap.can_be_renewed(tmp_path / ".venv", wanted)


def test_an_unknown_group_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no dependency group nope"):
        bootstrap.stamp_for(tmp_path, PROJECT, ["nope"])


@pytest.mark.parametrize(
    ("output", "certified", "expected"),
    [
        pytest.param(NO_ROUTE, True, "the network does not reach it", id="pip without a network"),
        pytest.param(APT_OFFLINE, True, "the network does not reach it", id="apt without a network"),
        pytest.param(UNTRUSTED, True, "name it in PIP_CERT", id="a foreign authority"),
        pytest.param(UNTRUSTED, False, "apt-get install -y ca-certificates", id="no certificates"),
        pytest.param(NO_BUNDLE, False, "apt-get install -y ca-certificates", id="no bundle"),
        pytest.param(CONFLICT, True, "No matching distribution found for click>=99", id="pip's own error"),
        pytest.param("dpkg-deb: odd\n\n", True, "dpkg-deb: odd", id="the last line of others"),
        pytest.param("", True, "it gave no reason", id="silence"),
    ],
)
def test_a_failure_is_explained(output: str, certified: bool, expected: str) -> None:  # noqa: FBT001 - a parameter
    assert expected in bootstrap.explain(output, certified)


def test_a_program_that_fails_is_named_by_what_it_was_for() -> None:
    with pytest.raises(SetupError, match=r"^could not tie the shoe: ERROR: no lace$"):
        bootstrap.run(sys.executable, "-c", "print('ERROR: no lace'); raise SystemExit(3)", purpose="tie the shoe")


@pytest.mark.parametrize("name", bootstrap.CERTIFICATE_VARIABLES)
@pytest.mark.usefixtures("without_certificates")
def test_certificates_that_a_variable_names_are_taken(name: str) -> None:
    assert bootstrap.has_certificates({name: "/somewhere.pem"})


@pytest.mark.usefixtures("without_certificates")
def test_a_machine_without_certificates_is_noticed() -> None:
    assert not bootstrap.has_certificates({"SSL_CERT_FILE": ""})


@pytest.fixture
def without_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenSSL's own places point to an empty folder, as on a Debian without ca-certificates."""
    bare = ssl.get_default_verify_paths()._replace(openssl_cafile=str(tmp_path / "cert.pem"), openssl_capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: bare)


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    take = f"""
import sys
from pathlib import Path
from deploy import bootstrap
with bootstrap.lock(Path({str(tmp_path)!r})):
    print("taken", flush=True)
"""
    with bootstrap.lock(tmp_path):
        command = [sys.executable, "-c", take]
        second = subprocess.Popen(command, cwd=bootstrap.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        assert second.stderr.readline() == "relay: another run is setting up .venv; waiting for it\n"
    assert second.communicate(timeout=10) == ("taken\n", "")


def test_the_oldest_python_taken_is_the_one_that_pyproject_names() -> None:
    project = tomllib.loads((bootstrap.ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11"
    assert "sys.version_info < (3, 11)" in (bootstrap.ROOT / "deploy" / "bootstrap.py").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small project that installs without a network: it builds itself, has the `relay` command, and pip is there."""
    (tmp_path / "deploy").mkdir()
    for name in ("demo", "bootstrap.py"):
        (tmp_path / "deploy" / name).write_bytes((bootstrap.ROOT / "deploy" / name).read_bytes())
        (tmp_path / "deploy" / name).chmod(0o755)
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "thing"\nversion = "1"\n'
    )
    (tmp_path / "backend.py").write_text(BACKEND)
    venv.create(tmp_path / ".venv", symlinks=True)
    pip = importlib.util.find_spec("pip")
    assert pip is not None
    assert pip.origin is not None
    packages = tmp_path / ".venv" / "lib" / bootstrap.python_folder() / "site-packages"
    shutil.copytree(Path(pip.origin).parent, packages / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


BACKEND = '''
"""Builds a wheel by hand: a command that repeats its arguments."""
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "thing-1-py3-none-any.whl"
    files = {
        "thing.py": "import sys\\ndef main():\\n    print('ran', *sys.argv[1:])\\n",
        "thing-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: thing\\nVersion: 1\\n",
        "thing-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: hand\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "thing-1.dist-info/entry_points.txt": "[console_scripts]\\nrelay = thing:main\\n",
        "thing-1.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
'''


@pytest.fixture
def demo(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the small project's `deploy/demo` from another folder."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PIP_NO_INDEX": "1"}
        command = [str(checkout / "deploy" / "demo"), *arguments]
        return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_demo_sets_up_once_and_passes_its_arguments_on(
    checkout: Path, demo: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    first = demo("--keep", "a b")
    assert (first.returncode, first.stdout) == (0, "ran demo --keep a b\n")
    assert first.stderr == "relay: setting up .venv; the first time takes about a minute\n"
    assert json.loads((checkout / ".venv" / bootstrap.STAMP).read_text())["groups"] == []
    second = demo()
    assert (second.returncode, second.stdout, second.stderr) == (0, "ran demo\n", "")


def test_a_set_up_that_fails_says_why_and_is_not_taken_for_whole(
    checkout: Path, demo: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace("requires = []", 'requires = ["nowhere-to-be-had"]'))
    failed = demo()
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "relay: could not install the Python packages: ERROR: " in failed.stderr
    assert "nowhere-to-be-had" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert bootstrap.read_stamp(checkout / ".venv") == bootstrap.UNFINISHED
