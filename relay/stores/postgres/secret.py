"""Sealed secrets, sealed anew under another key. What is kept in memory for routing may hold them as they were sealed before: that is no
harm, since the vault opens with the old keys too as long as the process lives."""

from collections.abc import Sequence

import msgspec

from relay.ports.secret import Sealed
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer


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
        return [Sealed(**{name: row[name] for name in Sealed.__struct_fields__}) for row in rows]

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> None:
        """What is null equals nothing, so it stays."""
        rows = [{**msgspec.structs.asdict(new), **{f"{name}_before": value for name, value in msgspec.structs.asdict(old).items()}}
                for old, new in changes]

        async def replace(transaction: Transaction) -> None:
            await transaction.run_rows(
                """UPDATE subscriptions AS was SET
                sealed_headers = CASE WHEN was.sealed_headers = new.sealed_headers_before
                    THEN new.sealed_headers ELSE was.sealed_headers END,
                sealed_secret = CASE WHEN was.sealed_secret = new.sealed_secret_before
                    THEN new.sealed_secret ELSE was.sealed_secret END,
                previous_sealed_secret = CASE WHEN was.previous_sealed_secret = new.previous_sealed_secret_before
                    THEN new.previous_sealed_secret ELSE was.previous_sealed_secret END,
                sealed_private_key = CASE WHEN was.sealed_private_key = new.sealed_private_key_before
                    THEN new.sealed_private_key ELSE was.sealed_private_key END,
                previous_sealed_private_key = CASE WHEN was.previous_sealed_private_key = new.previous_sealed_private_key_before
                    THEN new.previous_sealed_private_key ELSE was.previous_sealed_private_key END,
                sealed_callback_secret = CASE WHEN was.sealed_callback_secret = new.sealed_callback_secret_before
                    THEN new.sealed_callback_secret ELSE was.sealed_callback_secret END
                FROM unnest(
                    CAST(:subscription_id AS text[]),
                    CAST(:sealed_headers AS text[]), CAST(:sealed_headers_before AS text[]),
                    CAST(:sealed_secret AS text[]), CAST(:sealed_secret_before AS text[]),
                    CAST(:previous_sealed_secret AS text[]), CAST(:previous_sealed_secret_before AS text[]),
                    CAST(:sealed_private_key AS text[]), CAST(:sealed_private_key_before AS text[]),
                    CAST(:previous_sealed_private_key AS text[]), CAST(:previous_sealed_private_key_before AS text[]),
                    CAST(:sealed_callback_secret AS text[]), CAST(:sealed_callback_secret_before AS text[]))
                AS new (id, sealed_headers, sealed_headers_before, sealed_secret, sealed_secret_before, previous_sealed_secret,
                    previous_sealed_secret_before, sealed_private_key, sealed_private_key_before, previous_sealed_private_key,
                    previous_sealed_private_key_before, sealed_callback_secret, sealed_callback_secret_before)
                WHERE was.id = new.id""", rows)

        await self._writer.write_long(replace)
