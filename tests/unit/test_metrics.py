"""Metrics: a closed table, and what Prometheus reads."""

import ast
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from relay.model import Verdict
from relay.observe.metrics import METRICS, PrometheusMeter
from relay.ports import Figures

RELAY = Path(__file__).parents[2] / "relay"
KINDS = {"count": "counter", "observe": "histogram", "set": "gauge"}
NOTHING = Figures(open_tasks={}, pending_deliveries=0, oldest_due_seconds=0)


def samples(meter: PrometheusMeter, figures: Figures = NOTHING) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, _ = meter.render(figures)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body.decode()) for sample in family.samples}


def test_counters_gauges_and_histograms_are_rendered() -> None:
    meter = PrometheusMeter()
    meter.count("relay_callbacks_total", provider="kie", verdict="applied")
    meter.count("relay_callbacks_total", 2, provider="kie", verdict="applied")
    meter.observe("relay_callback_commit_seconds", 0.003)
    meter.set("relay_provider_credits", 12.5, provider="kie")
    found = samples(meter)
    assert found["relay_callbacks_total", (("provider", "kie"), ("verdict", "applied"))] == 3
    assert found["relay_callback_commit_seconds_bucket", (("le", "0.0025"),)] == 0
    assert found["relay_callback_commit_seconds_bucket", (("le", "0.005"),)] == 1
    assert found["relay_provider_credits", (("provider", "kie"),)] == 12.5


SPANS = (0, 0.0005, 0.001, 0.0010001, 0.3, 10, 10.5, 86400, 86401)
VALUES = ("kie", 'a "quoted\\one', "with\na break", "ü")


def labellings(name: str) -> list[dict[str, str]]:
    names = METRICS[name].labels
    return [dict(zip(names, values, strict=True)) for values in product(VALUES, repeat=len(names))]


def lines(page: bytes) -> list[str]:
    """Without the figures of the process, which differ from moment to moment, and without the times of making, which we do not tell."""
    return [line for line in page.decode().split("\n") if "process_" not in line and "_created" not in line]


def test_the_page_is_what_the_library_itself_would_write() -> None:
    meter, registry = PrometheusMeter(), CollectorRegistry()
    of_kind = {kind: {name: each for name, each in METRICS.items() if each.kind == kind} for kind in KINDS.values()}
    counters = {name: Counter(name, each.help, each.labels, registry=registry) for name, each in of_kind["counter"].items()}
    for name, each in of_kind["gauge"].items():
        Gauge(name, each.help, each.labels, registry=registry)
    histograms = {name: Histogram(name, each.help, each.labels, buckets=each.buckets, registry=registry)
                  for name, each in of_kind["histogram"].items()}
    assert lines(meter.render(NOTHING)[0]) == lines(generate_latest(registry))
    for name, counter in counters.items():
        for labels in labellings(name):
            meter.count(name, **labels)
            meter.count(name, 2.5, **labels)
            (counter.labels(**labels) if labels else counter).inc(3.5)
    for (name, histogram), seconds in product(histograms.items(), SPANS):
        for labels in labellings(name):
            meter.observe(name, seconds, **labels)
            (histogram.labels(**labels) if labels else histogram).observe(seconds)
    assert lines(meter.render(NOTHING)[0]) == lines(generate_latest(registry))


def test_labels_are_the_same_in_any_order_and_of_any_kind_of_string() -> None:
    meter = PrometheusMeter()
    meter.count("relay_callbacks_total", provider="kie", verdict="applied")
    meter.count("relay_callbacks_total", verdict=Verdict.APPLIED, provider="kie")
    meter.count("relay_callbacks_total", provider="applied", verdict="kie")
    assert {key: value for key, value in samples(meter).items() if key[0] == "relay_callbacks_total"} == {
        ("relay_callbacks_total", (("provider", "kie"), ("verdict", "applied"))): 2,
        ("relay_callbacks_total", (("provider", "applied"), ("verdict", "kie"))): 1}


def test_nothing_that_many_threads_count_is_lost() -> None:
    meter = PrometheusMeter()

    def count(_thread: int) -> None:
        for _ in range(5000):
            meter.count("relay_polls_total", provider="kie", result="ok")
            meter.observe("relay_callback_commit_seconds", 0.5)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    found = samples(meter)
    assert found["relay_polls_total", (("provider", "kie"), ("result", "ok"))] == 40_000
    assert found["relay_callback_commit_seconds_count", ()] == 40_000
    assert found["relay_callback_commit_seconds_sum", ()] == 20_000


def test_the_stores_figures_are_those_of_now() -> None:
    meter = PrometheusMeter()
    samples(meter, Figures(open_tasks={("kie", "queued"): 3, ("kie", "submitted"): 1}, pending_deliveries=7, oldest_due_seconds=1.5))
    found = samples(meter, Figures(open_tasks={("kie", "queued"): 2}, pending_deliveries=6, oldest_due_seconds=0.5))
    assert {key: value for key, value in found.items() if key[0] == "relay_open_tasks"} == {
        ("relay_open_tasks", (("provider", "kie"), ("status", "queued"))): 2}
    assert found["relay_deliveries_pending", ()] == 6
    assert found["relay_delivery_oldest_due_seconds", ()] == 0.5


def test_the_content_type_names_the_text_format() -> None:
    assert PrometheusMeter().render(NOTHING)[1].startswith("text/plain; version=")


def test_two_meters_do_not_share_anything() -> None:
    first, second = PrometheusMeter(), PrometheusMeter()
    first.count("relay_polls_total", provider="kie", result="ok")
    assert ("relay_polls_total", (("provider", "kie"), ("result", "ok"))) not in samples(second)


def test_an_unknown_name_or_label_is_an_error() -> None:
    meter = PrometheusMeter()
    with pytest.raises(KeyError):
        meter.count("relay_typo_total")
    meter.count("relay_polls_total", provider="kie", result="ok")
    with pytest.raises(KeyError):
        meter.observe("relay_polls_total", 1, provider="kie", result="ok")
    with pytest.raises(KeyError):
        meter.set("relay_polls_total", 1, provider="kie", result="ok")
    with pytest.raises(ValueError, match="label"):
        meter.count("relay_polls_total", provider="kie")
    with pytest.raises(ValueError, match="label"):
        meter.count("relay_polls_total", provider="kie", result="ok", task="task_1")


def uses() -> list[tuple[str, str, str, tuple[str, ...]]]:
    """(where, method, metric, labels) of every call of a meter in the source."""
    found = []
    for path in RELAY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in KINDS or not node.args:
                continue
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value.startswith("relay_"):
                labels = tuple(sorted(keyword.arg or "**" for keyword in node.keywords))
                found.append((f"{path.name}:{node.lineno}", node.func.attr, name.value, labels))
    return found


def test_every_use_of_a_meter_is_in_the_table() -> None:
    wrong = [use for use in uses() if use[2] not in METRICS
             or (KINDS[use[1]], use[3]) != (METRICS[use[2]].kind, tuple(sorted(METRICS[use[2]].labels)))]
    assert not wrong


def test_every_metric_of_the_table_is_used() -> None:
    assert {use[2] for use in uses()} == set(METRICS)
