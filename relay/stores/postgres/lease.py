"""All that processes hold, given back: by themselves when they end, by others when they are dead."""

from collections.abc import Sequence

from relay.stores.postgres.lane import NOTHING_WAITS
from relay.stores.postgres.transaction import Transaction


async def free_all(transaction: Transaction, holders: Sequence[str]) -> None:
    """Tasks, deliveries, lanes, callers and duties, for whoever comes first."""
    holding = {"holders": list(holders), "never": NOTHING_WAITS}
    await transaction.run("UPDATE tasks SET holder = NULL WHERE holder = ANY(CAST(:holders AS text[]))", holding)
    await transaction.run("UPDATE deliveries SET holder = NULL WHERE holder = ANY(CAST(:holders AS text[]))", holding)
    await transaction.run("DELETE FROM lanes WHERE holder = ANY(CAST(:holders AS text[])) AND due_at = :never", holding)
    await transaction.run("UPDATE lanes SET holder = NULL WHERE holder = ANY(CAST(:holders AS text[]))", holding)
    calls = await transaction.fetch(
        "UPDATE calls SET holder = NULL WHERE holder = ANY(CAST(:holders AS text[])) RETURNING fingerprint", holding)
    await transaction.run("DELETE FROM duties WHERE holder = ANY(CAST(:holders AS text[]))", holding)
    transaction.ring("submissions", "polls", "deliveries", "doubtful", "duties", *(f"call:{row['fingerprint']}" for row in calls))


async def holders_unknown(transaction: Transaction) -> list[str]:
    """Those who hold something and are not among the living."""
    rows = await transaction.fetch(
        """SELECT holder FROM (
            SELECT holder FROM tasks WHERE holder IS NOT NULL UNION SELECT holder FROM deliveries WHERE holder IS NOT NULL
            UNION SELECT holder FROM calls WHERE holder IS NOT NULL UNION SELECT holder FROM lanes WHERE holder IS NOT NULL
            UNION SELECT holder FROM duties) AS held
        WHERE NOT EXISTS (SELECT 1 FROM processes WHERE processes.id = held.holder)""", {})
    return [row["holder"] for row in rows]
