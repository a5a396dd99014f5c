"""A small picture of how each figure stands to its goal: a bar for the median, a line for the spread, the goals in one line.

What is to be large is drawn as its part of the goal, what is to be small as the goal's part of it, on a scale of tens: right of
the line is met.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from tests.bench.figure import Figure, Goal, written

_ROW: Final = 22
_LEFT: Final = 380
_WIDTH: Final = 380
_RIGHT: Final = 170
_DECADES: Final = 1.5
_TOP: Final = 34
_MET, _MISSED, _INK, _LINE = "#2e7d32", "#c62828", "#222", "#888"


def plot(figures: Sequence[Figure]) -> str:
    """An SVG."""
    rows = [(figure, figure.goal) for figure in figures if figure.goal]
    height = _TOP + _ROW * len(rows) + 10
    middle = _x(1.0)
    body = [_row(figure, goal, _TOP + _ROW * index) for index, (figure, goal) in enumerate(rows)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{height}" font-family="sans-serif"'
        ' font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        _text(middle, 14, "goal", anchor="middle"), _text(_x(0.1), 14, "a tenth of it", anchor="middle"),
        _text(_x(10), 14, "ten times better", anchor="middle"), *body,
        f'<line x1="{middle:.0f}" y1="20" x2="{middle:.0f}" y2="{height - 6}" stroke="{_LINE}" stroke-dasharray="3 3"/>', "</svg>", ""])


def _row(figure: Figure, goal: Goal, y: int) -> str:
    places = sorted(_x(standing(run, goal)) for run in figure.runs)
    end = _x(standing(figure.median, goal))
    colour = _MET if figure.is_met else _MISSED
    return "\n".join([
        _text(_LEFT - 8, y + 14, f"{figure.scenario}: {figure.name}", anchor="end"),
        f'<rect x="{_LEFT}" y="{y + 4}" width="{max(1.0, end - _LEFT):.1f}" height="{_ROW - 9}" fill="{colour}" fill-opacity="0.75"/>',
        f'<line x1="{places[0]:.1f}" y1="{y + 10}" x2="{places[-1]:.1f}" y2="{y + 10}" stroke="{_INK}" stroke-width="2"/>',
        _text(_LEFT + _WIDTH + 8, y + 14, f"{written(figure.median)} {figure.unit} ({goal})"),
    ])


def standing(value: float, goal: Goal) -> float:
    """1 at the goal, more if it is better than that."""
    part, whole = (value, goal.value) if goal.bound == "least" else (goal.value, value)
    return part / whole if whole > 0 else math.inf


def _x(ratio: float) -> float:
    decades = math.log10(min(max(ratio, 10**-_DECADES), 10**_DECADES))
    return _LEFT + _WIDTH * (decades + _DECADES) / (2 * _DECADES)


def _text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{_INK}">{escape(words)}</text>'
