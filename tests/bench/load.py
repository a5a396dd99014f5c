"""What the bench and its load generator, sink and other programs say to each other: JSON, a line each."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

_STEPS_PER_DECADE: Final = 5


class Times(Struct, frozen=True, kw_only=True):
    """Many spans, in milliseconds. `histogram`: the upper end of each bin, five to a decade, and how many fell into it."""

    count: int
    p50: float
    p90: float
    p99: float
    most: float
    histogram: list[tuple[float, int]]


class Load(Struct, frozen=True, kw_only=True):
    """`requests`: a file of (key, request) pairs in MessagePack. Each is sent once, or, with `seconds`, one after the other again and
    again for so long. With `rate` they are sent at that pace, whatever becomes of the ones before, else each connection
    sends its next one as soon as it has an answer. `stamps`: a file for when each key was to be sent. `again_after`: seconds until
    what was refused is sent again. `greets`: each connection asks for something first, so that it is known to be accepted."""

    port: int
    requests: str
    connections: int = 64
    greets: bool = False
    again_after: float = 0.02
    rate: float | None = None
    seconds: float | None = None
    stamps: str | None = None


class Told(Struct, frozen=True, kw_only=True):
    """What became of a load. `answers`: how many of each status, 503 not among them: those were sent again, `refused` times, as
    were the `broken` ones whose connection ended. Times are of CLOCK_MONOTONIC. `answered`: from when a request was to be sent, so that
    one that waits for a connection counts from there. `took`: from when that was sent which was answered so. `late`, where a pace is
    kept: how long after a request was to be sent the generator saw to it, which is its own share of the wait."""

    answers: dict[int, int]
    refused: int
    broken: int
    begun: float
    ended: float
    cpu_seconds: float
    answered: Times
    took: Times
    late: Times | None

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    @property
    def rate(self) -> float:
        return sum(self.answers.values()) / self.seconds

    @property
    def cpu_share(self) -> float:
        return self.cpu_seconds / self.seconds


class Seen(Struct, frozen=True, kw_only=True):
    """What came to the sink since it was told to begin."""

    count: int
    first: float
    last: float
    cpu_seconds: float

    @property
    def cpu_share(self) -> float:
        """Of one core, from the first to the last."""
        return self.cpu_seconds / (self.last - self.first) if self.last > self.first else math.nan


class Order(Struct, frozen=True, kw_only=True):
    """To the sink: begin anew and tell when `expect` have come, or tell now. `arrivals`: a file for what came and when."""

    expect: int | None = None
    arrivals: str | None = None


def times_of(seconds: Iterable[float]) -> Times:
    spans = sorted(span * 1000 for span in seconds)
    return Times(count=len(spans), p50=at_percent(spans, 50), p90=at_percent(spans, 90), p99=at_percent(spans, 99),
                 most=spans[-1] if spans else math.nan, histogram=_histogram(spans))


def at_percent(ascending: Sequence[float], percent: float) -> float:
    """The smallest of them that so many percent do not exceed."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)] if ascending else math.nan


def between(sent: Mapping[str, float], arrivals: Iterable[tuple[str, float]]) -> Times:
    """From when each was sent until it came, for those that are known to have been sent."""
    return times_of(at - sent[key] for key, at in arrivals if key in sent)


def _histogram(ascending: Sequence[float]) -> list[tuple[float, int]]:
    bins: dict[int, int] = {}
    for span in ascending:
        step = math.ceil(math.log10(max(span, 0.001)) * _STEPS_PER_DECADE)
        bins[step] = bins.get(step, 0) + 1
    return [(10 ** (step / _STEPS_PER_DECADE), count) for step, count in sorted(bins.items())]
