"""Counting and timing, so that nobody but observe/ knows how."""

from typing import Protocol


class Meter(Protocol):
    """Cheap enough for the path of every callback and delivery. Names and label values come from closed sets only."""

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        ...

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """Record a span in a histogram."""
        ...

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        ...


class NullMeter:
    """Counts nothing."""

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None: ...

    def observe(self, name: str, seconds: float, /, **labels: str) -> None: ...

    def set(self, name: str, value: float, /, **labels: str) -> None: ...
