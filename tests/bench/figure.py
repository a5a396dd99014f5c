"""What a scenario has measured, and what was hoped for."""

import statistics
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

_SIGNS: Final = {"least": "≥", "most": "≤"}


class Goal(Struct, frozen=True):
    """`least` 3,500 is met from there up, `most` 120 from there down."""

    bound: Literal["least", "most"]
    value: float

    def is_met(self, value: float) -> bool:
        return value >= self.value if self.bound == "least" else value <= self.value

    def __str__(self) -> str:
        return f"{_SIGNS[self.bound]} {written(self.value)}"


class Figure(Struct, frozen=True, kw_only=True):
    """One quantity, as each run gave it."""

    scenario: str
    name: str
    unit: str
    runs: Sequence[float]
    goal: Goal | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.goal.is_met(self.median)


def least(value: float) -> Goal:
    return Goal("least", value)


def most(value: float) -> Goal:
    return Goal("most", value)


def written(value: float) -> str:
    """With three significant places."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
