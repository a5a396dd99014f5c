"""What was asked, answered and billed: the count by which a test proves that nothing was paid twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

_PROMPTS: Final = 10_000


class Tally(Struct, kw_only=True):
    """`received`: submissions that arrived, refused ones too. `accepted`: those that were started. `billed`: pictures that were
    made and paid. `callbacks_sent`: callback POSTs, each try counted when it begins."""

    received: int = 0
    accepted: int = 0
    billed: int = 0
    callbacks_sent: int = 0


class Ledger:
    """Tallies of each provider, in all and for the latest 10,000 prompts."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._totals = {name: Tally() for name in names}
        self._prompts: OrderedDict[tuple[str, bytes], Tally] = OrderedDict()

    def receive(self, name: str) -> None:
        self._totals[name].received += 1

    def receive_prompt(self, name: str, prompt: str) -> int:
        """What was received had this prompt. Says how many of it had it by now."""
        tally = self._of(name, prompt)
        tally.received += 1
        return tally.received

    def accept(self, name: str, prompt: str) -> None:
        for tally in (self._totals[name], self._of(name, prompt)):
            tally.accepted += 1

    def bill(self, name: str, prompt: str, pictures: int) -> None:
        for tally in (self._totals[name], self._of(name, prompt)):
            tally.billed += pictures

    def call(self, name: str, prompt: str) -> None:
        for tally in (self._totals[name], self._of(name, prompt)):
            tally.callbacks_sent += 1

    def billed(self, name: str) -> int:
        return self._totals[name].billed

    def show(self, prompt: str | None = None) -> dict[str, Tally]:
        """The tallies by provider; with a prompt, of what had exactly this prompt."""
        if prompt is None:
            return dict(self._totals)
        return {name: self._prompts.get((name, _digest(prompt)), Tally()) for name in self._names}

    def _of(self, name: str, prompt: str) -> Tally:
        key = (name, _digest(prompt))
        tally = self._prompts.setdefault(key, Tally())
        self._prompts.move_to_end(key)
        if len(self._prompts) > _PROMPTS:
            self._prompts.popitem(last=False)
        return tally


def _digest(prompt: str) -> bytes:
    return hashlib.blake2b(prompt.encode(errors="replace"), digest_size=16).digest()
