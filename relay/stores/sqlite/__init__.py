"""The store on SQLite: one file, one process, no server.

What was weighed: WAL with synchronous=FULL, so that what is answered is on the disk; one writer that lets everything that
waits share one commit, which is ten times faster than a commit for each; a lock on the file for the life of the process, so
that leases need no clock; times as integers, JSON as text; every query that runs often served by a partial index over what is
not finished, so that its cost does not grow with history.
"""

from relay.stores.sqlite.export import open_export
from relay.stores.sqlite.schema import migrate
from relay.stores.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteStore", "migrate", "open_export", "open_store"]
