"""What a power loss leaves of the database file, made from a copy of the files as they stand at one instant.

The process is halted while the files are copied, so that they belong together. The disk holds less than the copy does: of what was not
yet synced, any byte may be lost or be anything. Since one writer syncs each commit before it begins the next, that is

- in the write-ahead log, the last commit, unless somebody was told of it or a checkpoint has synced it, and all that stands behind it;
- in the database itself, every page that the log still holds, since a checkpoint may be writing it, and syncs it before the log begins
  anew. (The first page is left alone: SQLite reads the size of pages from it, which does not change.)

The index of the log (-shm) is memory of the machine, so it is lost; from it is read how far a checkpoint has come.
"""

import os
import random
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

_LOG_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_SALTS: Final = slice(16, 24)
_SALTS_IN_INDEX: Final = slice(32, 40)
_CHECKPOINTED_IN_INDEX: Final = 128  # nBackfillAttempted
_FLIPS: Final = 50


class Copy(Struct, frozen=True, kw_only=True):
    """The files of an instant. `commits`: where each commit of the log ends. `checkpointed`: how far the log must be whole."""

    database: bytes
    log: bytes
    commits: list[int]
    checkpointed: int
    page_bytes: int

    @property
    def last_commits(self) -> tuple[int, int]:
        """Where the last commit and the one before it end; what a checkpoint has synced counts as the one before."""
        last = self.commits[-1] if self.commits else len(self.log)
        before = self.commits[-2] if len(self.commits) > 1 else _LOG_HEADER
        return last, min(last, max(before, self.checkpointed))

    def write(self, path: Path) -> None:
        path.write_bytes(self.database)
        path.with_name(path.name + "-wal").write_bytes(self.log)

    def cut(self, end: int) -> "Copy":
        return Copy(database=self.database, log=self.log[:end], commits=[commit for commit in self.commits if commit <= end],
                    checkpointed=self.checkpointed, page_bytes=self.page_bytes)

    def torn(self, synced: int, chance: random.Random) -> "Copy":
        """Behind `synced`, bytes are not what was written."""
        log = bytearray(self.log)
        for _ in range(_FLIPS if synced < len(log) else 0):
            log[chance.randrange(synced, len(log))] ^= chance.randrange(1, 256)
        return Copy(database=self.database, log=bytes(log), commits=self.commits, checkpointed=self.checkpointed,
                    page_bytes=self.page_bytes)

    def torn_in_a_checkpoint(self, synced: int, chance: random.Random) -> "Copy":
        """Some of the pages that the log holds were being written to the database."""
        database = bytearray(self.database)
        for page in sorted({page for page, _, end in _frames(self.log, self.page_bytes) if end <= synced} - {1}):
            at = (page - 1) * self.page_bytes
            if at < len(database) and chance.random() < 0.5:
                database[at:at + self.page_bytes] = chance.randbytes(self.page_bytes)
        return Copy(database=bytes(database), log=self.log, commits=self.commits, checkpointed=self.checkpointed,
                    page_bytes=self.page_bytes)


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """The process goes on afterwards."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while not _is_halted(pid):
            os.sched_yield()
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def copy_of(database: Path) -> Copy:
    """Of the files of a process that is halted."""
    return _understood(*(database.with_name(database.name + suffix).read_bytes() for suffix in ("", "-wal", "-shm")))


def _is_halted(pid: int) -> bool:
    states = [task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return set(states) == {"T"}


def _understood(database: bytes, log: bytes, index: bytes) -> Copy:
    [page_bytes] = struct.unpack_from(">I", log, 8) if log else (0,)
    is_beginning_anew = log[_SALTS] != index[_SALTS_IN_INDEX]  # all of the log is in the database, and its first page is to come
    [checkpointed] = struct.unpack_from("=I", index, _CHECKPOINTED_IN_INDEX)
    return Copy(
        database=database, log=log, page_bytes=page_bytes,
        commits=[end for _, is_commit, end in _frames(log, page_bytes) if is_commit],
        checkpointed=len(log) if is_beginning_anew else _LOG_HEADER + checkpointed * (_FRAME_HEADER + page_bytes))


def _frames(log: bytes, page_bytes: int) -> Iterator[tuple[int, bool, int]]:
    """The number of each page, whether it is the last of its commit, and where it ends, as long as they are of this turn of the log."""
    for at in range(_LOG_HEADER, len(log) - _FRAME_HEADER - page_bytes + 1, _FRAME_HEADER + page_bytes):
        page, size_after = struct.unpack_from(">II", log, at)
        if log[at + 8:at + 16] != log[_SALTS]:
            return
        yield page, size_after > 0, at + _FRAME_HEADER + page_bytes
