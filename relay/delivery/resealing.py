"""After RELAY_SECRET_KEYS got a newer key: what older ones sealed is sealed anew, so that they can be taken away.

It runs beside everything else, in small batches that each stand for themselves: a start does not wait for it, and a crash loses at
most one batch, which the next start does again. Whoever read a secret before its batch may write it back afterwards as it was (an
owner who alters a subscription), so the whole is gone through until there is nothing left to do.
"""

import asyncio
import logging
from typing import Final

import msgspec

from relay.errors import StoreError
from relay.ports import Sealed, Secrets
from relay.vault import SecretLost, Vault

_log = logging.getLogger(__name__)

_BATCH: Final = 200  # about 10 ms in a thread


class Resealer:
    """`batch`: subscriptions at a time."""

    def __init__(self, store: Secrets, vault: Vault, *, batch: int = _BATCH) -> None:
        self._store = store
        self._vault = vault
        self._batch = batch
        self._lost: set[str] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until all is sealed with the newest key, or it is to stop. What a store that fails leaves is done at the next start."""
        resealed = 0
        try:
            while changed := await self._pass(stopping):
                resealed += changed
        except StoreError as exc:
            _log.warning("stored secrets are not all sealed with the newest of RELAY_SECRET_KEYS yet: %s", exc)
            return
        self._report(resealed)

    async def _pass(self, stopping: asyncio.Event) -> int:
        """How many subscriptions were changed."""
        changed, after = 0, None
        while not stopping.is_set() and (batch := await self._store.sealed_secrets(after=after, limit=self._batch)):
            changes = await asyncio.to_thread(self._changes, batch)
            if changes:
                await self._store.reseal(changes)
            changed, after = changed + len(changes), batch[-1].subscription_id
        return changed

    def _changes(self, batch: list[Sealed]) -> list[tuple[Sealed, Sealed]]:
        return [change for sealed in batch if (change := self._change(sealed))]

    def _change(self, sealed: Sealed) -> tuple[Sealed, Sealed] | None:
        """Before and after, without the fields that stay as they are."""
        before, after = {}, {}
        for name, value in msgspec.structs.asdict(sealed).items():
            if name != "subscription_id" and (made := self._resealed(sealed.subscription_id, value)):
                before[name], after[name] = value, made
        if not after:
            return None
        return Sealed(subscription_id=sealed.subscription_id, **before), Sealed(subscription_id=sealed.subscription_id, **after)

    def _resealed(self, subscription_id: str, value: str | None) -> str | None:
        try:
            return None if value is None else self._vault.reseal(value)
        except SecretLost:
            self._lost.add(subscription_id)
            return None

    def _report(self, resealed: int) -> None:
        if resealed:
            _log.info("the secrets of %d subscriptions were sealed anew with the newest of RELAY_SECRET_KEYS", resealed)
        if self._lost:
            _log.warning(
                "%d subscriptions have secrets that none of RELAY_SECRET_KEYS opens, %s among them", len(self._lost), min(self._lost))
