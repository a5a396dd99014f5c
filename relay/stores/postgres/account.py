"""Accounts and their keys."""

from datetime import datetime, timedelta

from relay.errors import Conflict
from relay.model import Account, Key
from relay.ports.page import Page
from relay.stores.page import FIRST_PAGE, page
from relay.stores.postgres.connection import Readers
from relay.stores.postgres.lock import lock
from relay.stores.postgres.transaction import Transaction
from relay.stores.postgres.writer import Writer
from relay.stores.row import Row, key_row, micros, moment, read_account, read_key


class Accounts:
    """The accounts' part of the store."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    async def add_account(self, account: Account) -> Account:
        async def add(transaction: Transaction) -> Account:
            rows = await transaction.fetch(
                """INSERT INTO accounts (id, name, created_at, retention) VALUES (:id, :name, :created_at, :retention)
                ON CONFLICT (name) DO NOTHING RETURNING id""",
                {"id": account.id, "name": account.name, "created_at": micros(account.created_at), "retention": account.retention})
            if not rows:
                raise Conflict(f"there is an account named {account.name} already")
            return account

        return await self._writer.write_alone(add)

    async def account(self, id_or_name: str) -> Account | None:
        row = await self._readers.fetch_one(
            "SELECT * FROM accounts WHERE id = :given OR name = :given ORDER BY id = :given DESC LIMIT 1", {"given": id_or_name})
        return None if row is None else read_account(row)

    async def accounts(self, *, limit: int, cursor: str | None = None) -> Page:
        rows = await self._readers.fetch(
            "SELECT * FROM accounts WHERE id < :cursor ORDER BY id DESC LIMIT :limit",
            {"cursor": cursor or FIRST_PAGE, "limit": limit + 1})
        return page(rows, limit, read_account)

    async def set_retention(self, account_id: str, retention: timedelta | None) -> Account | None:
        async def change(transaction: Transaction) -> Account | None:
            row = await transaction.fetch_one(
                "UPDATE accounts SET retention = :retention WHERE id = :id RETURNING *",
                {"id": account_id, "retention": retention.total_seconds() if retention else None})
            return None if row is None else read_account(row)

        return await self._writer.write_alone(change)

    async def add_key(self, key: Key) -> None:
        async def add(transaction: Transaction) -> None:
            await lock(transaction, "keys")
            taken = "SELECT 1 FROM keys WHERE hash = :hash AND id <> :id AND revoked_at IS NULL"
            if await transaction.fetch(taken, {"hash": key.hash, "id": key.id}):
                raise Conflict("this key is in use already")
            await transaction.run(
                """INSERT INTO keys (id, account_id, name, hash, scopes, created_at, revoked_at, via)
                VALUES (:id, :account_id, :name, :hash, :scopes, :created_at, :revoked_at, :via)
                ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id, name = excluded.name, hash = excluded.hash,
                scopes = excluded.scopes, created_at = excluded.created_at, revoked_at = excluded.revoked_at,
                via = excluded.via""", key_row(key))

        await self._writer.write_alone(add)

    async def key(self, key_hash: str) -> tuple[Key, Account] | None:
        row = await self._readers.fetch_one(
            """SELECT keys.*, accounts.name AS account_name, accounts.created_at AS account_created_at, accounts.retention
            FROM keys JOIN accounts ON accounts.id = keys.account_id WHERE hash = :hash AND revoked_at IS NULL""",
            {"hash": key_hash})
        return None if row is None else (read_key(row), _account_of_key(row))

    async def keys(self, account_id: str, *, limit: int, cursor: str | None = None) -> Page:
        rows = await self._readers.fetch(
            """SELECT * FROM keys WHERE account_id = :account_id AND revoked_at IS NULL AND id < :cursor
            ORDER BY id DESC LIMIT :limit""",
            {"account_id": account_id, "cursor": cursor or FIRST_PAGE, "limit": limit + 1})
        return page(rows, limit, read_key)

    async def revoke_key(self, account_id: str, key_id: str, *, now: datetime) -> bool:
        async def revoke(transaction: Transaction) -> bool:
            rows = await transaction.fetch(
                """UPDATE keys SET revoked_at = :now WHERE id = :id AND account_id = :account_id AND revoked_at IS NULL
                RETURNING id""", {"id": key_id, "account_id": account_id, "now": micros(now)})
            return bool(rows)

        return await self._writer.write_alone(revoke)


def _account_of_key(row: Row) -> Account:
    return Account(id=row["account_id"], name=row["account_name"], created_at=moment(row["account_created_at"]),
                   retention=row["retention"])
