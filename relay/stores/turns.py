"""Whose turn it is: pure, so that every store is as fair."""

from collections.abc import Mapping, Sequence
from typing import Final

_LEAST_SHARE: Final = 16


def share(limit: int, subscriptions: int) -> int:
    """How many deliveries of one subscription a claim looks at, of so many whose turn it is: enough to fill it where most of the
    others have but one, and no backlog is read to be thrown away."""
    return max(_LEAST_SHARE, -(-limit // max(1, subscriptions)))


def in_turns(waiting: Mapping[str, Sequence[int]], limit: int) -> list[int]:
    """The first of each, then the second of each, and so on."""
    ranked = [(rank, seq) for found in waiting.values() for rank, seq in enumerate(found)]
    return [seq for _, seq in sorted(ranked, key=lambda one: one[0])][:limit]
