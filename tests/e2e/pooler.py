"""A real PgBouncer that gives every transaction another connection."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.e2e.harness import free_port

_PROGRAM: Final = "/usr/sbin/pgbouncer"
_PATIENCE: Final = 20.0
_SETTINGS: Final = """[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def open_pooler(server_port: int) -> Iterator[int]:
    """Before the server at that port; gives its own."""
    with tempfile.TemporaryDirectory(prefix="relay-pooler-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        (folder / "pgbouncer.ini").write_text(_SETTINGS.format(server=server_port, port=port))
        as_user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        log = (folder / "log").open("wb")
        command = [_PROGRAM, str(folder / "pgbouncer.ini")]
        with log, subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **as_user) as pooler:
            try:
                _await(port, pooler, folder / "log")
                yield port
            finally:
                pooler.terminate()


def _await(port: int, pooler: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert pooler.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)
