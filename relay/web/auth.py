"""API keys: `rly_` + 32 to 128 characters of [A-Za-z0-9_-], known to the store by their SHA-256 only.

A key has at least 192 bits of chance when made here, so a plain hash of it can be neither guessed nor looked up, and
finding a key is one index lookup that tells nothing about near misses.
"""

import hashlib
import re
import secrets
from typing import Final

import msgspec
from starlette.requests import Request

from relay.errors import FieldProblem, Forbidden, NotFound, Unauthorized
from relay.model import Scope
from relay.ports import Caller, Gate, Store

KEY_PATTERN: Final = re.compile(r"rly_[A-Za-z0-9_-]{32,128}")
ACCOUNT_HEADER: Final = "X-Relay-Account"


def new_api_key() -> str:
    """A fresh key of 256 random bits."""
    return f"rly_{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """What the store knows a key by: hex SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()


class StoreGate:
    """Knows the keys that the store knows. See ports.Gate."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, key: str | None, *, account: str | None = None) -> Caller:
        if key is None:
            raise Unauthorized("Send an API key as `Authorization: Bearer rly_…` or `X-API-Key`.")
        found = await self._store.key(hash_key(key)) if KEY_PATTERN.fullmatch(key) else None
        if found is None:
            raise Unauthorized("This key is not known here, or was revoked.")
        record, owner = found
        caller = Caller(account_id=owner.id, account_name=owner.name, key_id=record.id, key_name=record.name, scopes=record.scopes,
                        via=record.via)
        return caller if account is None else await self._acting_for(account, caller)

    async def _acting_for(self, account: str, caller: Caller) -> Caller:
        if not caller.may(Scope.ADMIN):
            raise Forbidden(f"{ACCOUNT_HEADER} needs a key with the scope admin.")
        named = await self._store.account(account)
        if named is None:
            raise NotFound(errors=[FieldProblem(ACCOUNT_HEADER, "there is no such account")])
        return msgspec.structs.replace(caller, account_id=named.id, account_name=named.name)


def read_key(request: Request) -> str | None:
    """The bare key of a request, from either header; a scheme other than Bearer is not ours."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("x-api-key")


async def admit(gate: Gate, request: Request, scope: Scope | None) -> Caller:
    """Who sends this request. Raises Unauthorized, NotFound, or Forbidden where `scope` is lacking; None: any key will do."""
    caller = await gate.admit(read_key(request), account=request.headers.get(ACCOUNT_HEADER))
    if scope is not None and not caller.may(scope):
        raise Forbidden(f"This key lacks the scope {scope}.")
    return caller
