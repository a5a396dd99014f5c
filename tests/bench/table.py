"""The figures as people read them, and as programs do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.figure import Figure, written
from tests.bench.machine import Machine


def table(figures: Sequence[Figure]) -> str:
    """Markdown: the median of each, the least and the most of its runs, its goal and whether it was met."""
    rows = [("scenario", "figure", "median", "least to most", "runs", "goal", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _row(figure: Figure) -> tuple[str, str, str, str, str, str, str]:
    verdict = {None: "", True: "met", False: "missed"}[figure.is_met]
    spread = f"{written(min(figure.runs))} to {written(max(figure.runs))}" if len(figure.runs) > 1 else ""
    goal = str(figure.goal) if figure.goal else ""
    return (figure.scenario, figure.name, f"{written(figure.median)} {figure.unit}".strip(), spread, str(len(figure.runs)), goal, verdict)


def write_json(path: Path, machine: Machine, form: str, figures: Sequence[Figure]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(
        {"machine": machine, "form": form, "figures": [_entry(figure) for figure in figures]}), indent=2))


def _entry(figure: Figure) -> dict[str, Any]:
    return {"scenario": figure.scenario, "name": figure.name, "unit": figure.unit, "median": figure.median, "runs": figure.runs,
            "goal": str(figure.goal) if figure.goal else None, "met": figure.is_met}
