"""Counters and histograms in which counting takes next to no time; prometheus_client reads them when its page is asked for.

Every callback and every delivery counts several things. The library's own counters take longest to find the series of some labels
and to lock each figure by itself; here both are done once. What the page looks like stays the library's affair.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

_Figure = TypeVar("_Figure")


class Total:
    """What a counter has come to."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Spread:
    """How many spans fell below each of the bounds and above the one before it, and what all of them add up to."""

    __slots__ = ("bounds", "counts", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0


class Series(Generic[_Figure]):
    """A figure for each of the labels' values that came; without labels, one from the start."""

    def __init__(self, labels: tuple[str, ...], make: Callable[[], _Figure]) -> None:
        self.labels: Final = labels
        self._make = make
        self._figures: dict[tuple[str, ...], _Figure] = {} if labels else {(): make()}

    def of(self, labels: Mapping[str, str]) -> _Figure:
        """Made when it is wanted first. Raises ValueError where these are not the labels of this metric."""
        if labels.keys() != set(self.labels):
            raise ValueError(f"the labels are {self.labels}, and not {tuple(labels)}")
        return self._figures.setdefault(tuple(str(labels[name]) for name in self.labels), self._make())

    def items(self) -> list[tuple[tuple[str, ...], _Figure]]:
        return list(self._figures.items())


class Counted:
    """A counter, as a collector of prometheus_client."""

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...]) -> None:
        self.series: Final = Series(labels, Total)
        self._name, self._help = name, help_text

    def collect(self) -> list[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self.series.labels)
        for values, total in self.series.items():
            family.add_metric(values, total.value)
        return [family]


class Timed:
    """A histogram, likewise. `bounds` ascend."""

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...], bounds: Sequence[float]) -> None:
        self.series: Final = Series(labels, lambda: Spread(bounds))
        self._name, self._help = name, help_text
        self._marks = [*(str(float(bound)) for bound in bounds), "+Inf"]

    def collect(self) -> list[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self.series.labels)
        for values, spread in self.series.items():
            family.add_metric(values, list(zip(self._marks, itertools.accumulate(spread.counts), strict=True)), spread.seconds)
        return [family]
