"""Metrics for Prometheus: a closed table of names, and a registry of our own.

Label values come from closed sets too (providers, states, route patterns, never paths or ids), so the number of series is
bounded whatever strangers send. An unknown name or label raises: a test walks all callers and holds them to the table.
"""

import threading
from bisect import bisect_left
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from relay.observe.tally import Counted, Spread, Timed, Total
from relay.ports import Figures

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REQUEST: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LASTING: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200, 86400)

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One line of the table. `buckets` in seconds, for histograms."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: Final[dict[str, Metric]] = {
    "relay_callbacks_total": Metric("counter", "Callbacks received, by what became of them", ("provider", "verdict")),
    "relay_callbacks_shed_total": Metric("counter", "Callbacks told to come again, because too many came at once"),
    "relay_callback_commit_seconds": Metric("histogram", "From a callback's arrival until it is committed", (), _FAST),
    "relay_event_delivery_seconds": Metric("histogram", "From the making of an event until its delivery succeeded", (), _LASTING),
    "relay_attempt_seconds": Metric("histogram", "Duration of a delivery attempt", ("outcome",), _REQUEST),
    "relay_submissions_total": Metric("counter", "Submissions to providers, by result", ("provider", "result")),
    "relay_polls_total": Metric("counter", "Questions to providers about a task, by result", ("provider", "result")),
    "relay_http_requests_total": Metric("counter", "Requests answered, by route pattern and status", ("route", "status")),
    "relay_http_request_seconds": Metric("histogram", "From a request's arrival until the end of its answer", ("route",), _REQUEST),
    "relay_dropin_calls_total": Metric("counter", "Drop-in calls that made or rejoined a task, by their end", ("dropin", "end")),
    "relay_dropin_rejoins_total": Metric("counter", "Drop-in calls that took the place of a caller who was gone", ("dropin",)),
    "relay_open_tasks": Metric("gauge", "Tasks that have not ended", ("provider", "status")),
    "relay_deliveries_pending": Metric("gauge", "Deliveries that are to be attempted, now or later"),
    "relay_delivery_oldest_due_seconds": Metric("gauge", "How long the oldest due delivery has been waiting"),
    "relay_reconcile_stretch_seconds": Metric("gauge", "How much later than asked for late callbacks are looked after", ("provider",)),
    "relay_provider_credits": Metric("gauge", "Credits left, as the provider last said", ("provider",)),
}


class PrometheusMeter:
    """The Meter of a running service. From any thread."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._counters = {name: Counted(name, each.help, each.labels) for name, each in _of_kind("counter")}
        self._gauges = {name: Gauge(name, each.help, each.labels, registry=None) for name, each in _of_kind("gauge")}
        self._histograms = {name: Timed(name, each.help, each.labels, each.buckets) for name, each in _of_kind("histogram")}
        collectors: list[Collector] = [*self._counters.values(), *self._gauges.values(), *self._histograms.values()]
        for collector in collectors:
            registry.register(collector)
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, ...], Total] = {}
        self._spreads: dict[tuple[str, ...], Spread] = {}

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter. Raises KeyError or ValueError where the table has no such name or labels."""
        key = (name, *labels, *labels.values())
        total = self._totals.get(key)
        if total is None:
            total = self._totals[key] = self._counters[name].series.of(labels)
        with self._lock:
            total.value += amount

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """Record a span in a histogram. Raises as `count`."""
        key = (name, *labels, *labels.values())
        spread = self._spreads.get(key)
        if spread is None:
            spread = self._spreads[key] = self._histograms[name].series.of(labels)
        with self._lock:
            spread.counts[bisect_left(spread.bounds, seconds)] += 1
            spread.seconds += seconds

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge. Raises as `count`."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def render(self, figures: Figures) -> tuple[bytes, str]:
        """All metrics in the Prometheus text format, and its content type. `figures` come from the store, fresh."""
        self._gauges["relay_open_tasks"].clear()
        for (provider, status), number in figures.open_tasks.items():
            self.set("relay_open_tasks", number, provider=provider, status=status)
        self.set("relay_deliveries_pending", figures.pending_deliveries)
        self.set("relay_delivery_oldest_due_seconds", figures.oldest_due_seconds)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


def _of_kind(kind: Kind) -> list[tuple[str, Metric]]:
    return [(name, metric) for name, metric in METRICS.items() if metric.kind == kind]
