"""The command line for its tests: as processes, and in this process; and a subscriber that waits for what comes."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from relay.cli import cli

RELAY = [sys.executable, "-m", "relay"]


def environment(**extra: str) -> dict[str, str]:
    """The one of this process without any RELAY_ name, and with this checkout in front."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return {**own, "PYTHONPATH": str(Path(__file__).parents[2]), **extra}


def run(*arguments: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RELAY, *arguments], cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=60, check=False)


class Running:
    """A `relay …` process that said where it is."""

    def __init__(self, *arguments: str, cwd: Path, **extra: str) -> None:
        self.log = cwd / "stderr.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*RELAY, *arguments], cwd=cwd, env=environment(**extra), stdout=subprocess.PIPE, stderr=log, text=True)
        self.said = ""
        try:
            self.url = self.expect(r"is at (http://\S+)")[1]
        except AssertionError:
            self.end(signal.SIGKILL)
            raise

    def expect(self, pattern: str) -> re.Match[str]:
        """Read what it prints until the pattern is there."""
        assert self.process.stdout
        while not (match := re.search(pattern, self.said)):
            readable, _, _ = select.select([self.process.stdout], [], [], 20)
            line = self.process.stdout.readline() if readable else ""
            assert line, f"{pattern} is not in {self.said!r}; stderr: {self.log.read_text()[-2000:]}"
            self.said += line
        return match

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        assert self.process.stdout
        self.process.stdout.close()
        return code


@contextlib.contextmanager
def running(*arguments: str, cwd: Path, **extra: str) -> Iterator[Running]:
    process = Running(*arguments, cwd=cwd, **extra)
    try:
        yield process
    finally:
        if process.process.returncode is None:
            process.end(signal.SIGKILL)


class Inbox:
    """A subscriber: keeps what comes and answers 200."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self._arrived = threading.Condition()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the standard library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, name="inbox", daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        with self._arrived:
            self.received.append((headers, body))
            self._arrived.notify_all()

    def await_one(self) -> tuple[dict[str, str], bytes]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.received, timeout=20), "nothing came"
        return self.received[-1]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def client(*arguments: str, **environ: str) -> Result:
    """A command that talks to a service, in this process: starting Python for each would be most of the test's time."""
    cleared = {name: None for name in os.environ if name.startswith("RELAY_")}
    return CliRunner().invoke(cli, arguments, env={**cleared, **environ}, prog_name="relay")
