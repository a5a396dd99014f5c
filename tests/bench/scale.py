"""How much is done in each form of the bench: the full one for figures, the short one for a look, the tiny one to see that it runs."""

from typing import Final

from msgspec import Struct


class Scale(Struct, frozen=True, kw_only=True):
    """Seconds and counts."""

    runs: int
    reference_seconds: float
    warm_up: int
    callbacks: int
    fanned_callbacks: int
    submits: int
    polls: int
    latency_seconds: float
    history: tuple[int, ...]
    rounds: int
    backlog: int
    starts: int
    idle_seconds: float
    isolation_rounds: int
    isolation_events: int
    counted: int


FULL: Final = Scale(
    runs=5, reference_seconds=3.0, warm_up=2000, callbacks=20_000, fanned_callbacks=6000, submits=10_000, polls=10_000,
    latency_seconds=10.0, history=(10_000, 1_000_000, 10_000_000), rounds=200, backlog=1_000_000, starts=7, idle_seconds=20.0,
    isolation_rounds=5, isolation_events=60, counted=5000)
SHORT: Final = Scale(
    runs=2, reference_seconds=0.5, warm_up=300, callbacks=2000, fanned_callbacks=500, submits=600, polls=1000, latency_seconds=2.0,
    history=(10_000, 300_000), rounds=30, backlog=20_000, starts=3, idle_seconds=5.0, isolation_rounds=1, isolation_events=15, counted=1000)
TINY: Final = Scale(
    runs=1, reference_seconds=0.1, warm_up=5, callbacks=40, fanned_callbacks=20, submits=20, polls=20, latency_seconds=0.2,
    history=(500, 1000), rounds=2, backlog=200, starts=1, idle_seconds=0.2, isolation_rounds=1, isolation_events=2, counted=600)
