"""One process per database file.

A lock on a file beside the database, held as long as the process lives: the kernel frees it, however the process ends. On it
rests all that this store keeps in memory, and that `recover` may take every lease for that of a dead process.
"""

import fcntl
import os
from pathlib import Path

from relay.errors import ConfigError, FieldProblem


class OwnerLock:
    """The right to be the one process on `path`. Raises ConfigError at once if another has it, or the folder cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _open(path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            self.release()
            raise _problem(f"{path} is in use by another relay process ({owner or 'unknown'}); stop it, or give this one a file of "
                           "its own") from exc
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"pid {os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """The file stays: to remove it could take it away under the next owner."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _open(path: Path) -> int:
    try:
        return os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _problem(f"{path} cannot be used: {exc.strerror} ({path}.lock)") from exc


def _problem(message: str) -> ConfigError:
    return ConfigError([FieldProblem("RELAY_DATABASE_URL", message)])
