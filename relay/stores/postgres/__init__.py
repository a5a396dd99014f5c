"""The store on PostgreSQL: one database, any number of processes.

What was weighed: what one process holds names it, and is free once its heart stands still by the clock of those who watch it, so no
two clocks are ever compared; whatever waits of one kind shares one transaction, and everything of a batch is written by one statement; a
lock for each account keeps its events in the order of their commits; NOTIFY is a hint, and nothing is kept in a session, so that a
pooler may stand in between; the same tables as on SQLite, times as integers and JSON as text, so that both are read by the same code.
"""

from relay.stores.postgres.schema import migrate
from relay.stores.postgres.store import PostgresStore, open_store

__all__ = ["PostgresStore", "migrate", "open_store"]
