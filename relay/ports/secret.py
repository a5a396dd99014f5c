"""Sealed secrets, whoever they belong to: what is read and written when they are sealed with a newer key."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Sealed(Struct, frozen=True, kw_only=True):
    """The sealed fields of one subscription; null where it has none, or where nothing is to change."""

    subscription_id: str
    sealed_headers: str | None = None
    sealed_secret: str | None = None
    previous_sealed_secret: str | None = None
    sealed_private_key: str | None = None
    previous_sealed_private_key: str | None = None
    sealed_callback_secret: str | None = None


class Secrets(Protocol):
    """The part of the store that keeps them."""

    async def sealed_secrets(self, *, after: str | None, limit: int) -> list[Sealed]:
        """Those of every subscription that is not deleted, in the order of ids, behind the subscription `after`."""
        ...

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> None:
        """Pairs of before and after. Each field that still stands as it did before becomes what it is after; one that its owner
        changed meanwhile stays as it is."""
        ...
