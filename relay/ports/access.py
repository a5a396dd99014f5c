"""Who is calling."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from relay.model import Scope


class Caller(Struct, frozen=True, kw_only=True):
    """A key that was accepted, and the account it acts for (an admin key may name another than its own). `via`: drop-in -> the provider
    that makes its pictures for this key."""

    account_id: str
    account_name: str
    key_id: str
    key_name: str
    scopes: tuple[Scope, ...]
    via: Mapping[str, str] = {}

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Gate(Protocol):
    """Turns a key into a caller."""

    async def admit(self, key: str | None, *, account: str | None = None) -> Caller:
        """The caller behind `key` (the bare `rly_…` string). `account`: the id or name that an admin key acts for.
        Raises Unauthorized for an absent, malformed, unknown or revoked key; Forbidden if `account` is given without the
        admin scope; NotFound if there is no such account."""
        ...
