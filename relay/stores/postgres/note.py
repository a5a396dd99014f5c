"""Notes: what else happened to tasks."""

from collections.abc import Sequence

from relay.model import Note
from relay.stores.postgres.transaction import Transaction
from relay.stores.row import note_row


async def insert_notes(transaction: Transaction, notes: Sequence[Note]) -> None:
    await transaction.run_rows(
        """INSERT INTO notes (task_id, at, kind, detail)
        SELECT * FROM unnest(CAST(:task_id AS text[]), CAST(:at AS bigint[]), CAST(:kind AS text[]), CAST(:detail AS text[]))""",
        [note_row(note) for note in notes])
