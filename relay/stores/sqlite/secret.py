"""Sealed secrets, sealed anew under another key. What is kept in memory for routing may hold them as they were sealed before: that is no
harm, since the vault opens with the old keys too as long as the process lives."""

from collections.abc import Sequence

import msgspec

from relay.ports.secret import Sealed
from relay.stores.sqlite.connection import Readers
from relay.stores.sqlite.transaction import Transaction
from relay.stores.sqlite.writer import Writer


class Secrets:
    """The secrets' part of the store."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def sealed_secrets(self, *, after: str | None, limit: int) -> list[Sealed]:
        rows = await self._readers.fetch(
            """SELECT id AS subscription_id, sealed_headers, sealed_secret, previous_sealed_secret, sealed_private_key,
            previous_sealed_private_key, sealed_callback_secret
            FROM subscriptions WHERE id > :after AND deleted_at IS NULL ORDER BY id LIMIT :limit""",
            {"after": after or "", "limit": limit})
        return [Sealed(**row) for row in rows]

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> None:
        """What is null equals nothing, so it stays."""
        rows = [{**msgspec.structs.asdict(new), **{f"{name}_before": value for name, value in msgspec.structs.asdict(old).items()}}
                for old, new in changes]

        def replace(transaction: Transaction) -> None:
            transaction.run_each(
                """UPDATE subscriptions SET
                sealed_headers = CASE sealed_headers WHEN :sealed_headers_before THEN :sealed_headers ELSE sealed_headers END,
                sealed_secret = CASE sealed_secret WHEN :sealed_secret_before THEN :sealed_secret ELSE sealed_secret END,
                previous_sealed_secret = CASE previous_sealed_secret
                    WHEN :previous_sealed_secret_before THEN :previous_sealed_secret ELSE previous_sealed_secret END,
                sealed_private_key = CASE sealed_private_key
                    WHEN :sealed_private_key_before THEN :sealed_private_key ELSE sealed_private_key END,
                previous_sealed_private_key = CASE previous_sealed_private_key
                    WHEN :previous_sealed_private_key_before THEN :previous_sealed_private_key ELSE previous_sealed_private_key END,
                sealed_callback_secret = CASE sealed_callback_secret
                    WHEN :sealed_callback_secret_before THEN :sealed_callback_secret ELSE sealed_callback_secret END
                WHERE id = :subscription_id""", rows)

        await self._writer.write_long(replace)
