"""Line charts as data: where ticks, marks and curves lie on a plot. templates/chart.html.jinja draws them.

Places are percentages of the plot, from the left and from the top, as texts that stand in the page as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reverie.report.values import number

Points = list[tuple[float, float]]

COLOURS = 6  # c0 to c5 in the style sheet
RAW_POINTS = 400  # a curve of more points is drawn as the lowest and the highest of each of that many stretches


@dataclass(frozen=True)
class Mark:
    """A text at a place on an axis."""

    at: str
    text: str


@dataclass(frozen=True)
class Curve:
    """A named curve: its class in the style sheet, its last smoothed value, and the SVG paths of both its lines."""

    name: str
    colour: str
    last: str
    raw: str
    mean: str


@dataclass(frozen=True)
class Chart:
    """A figure of curves over steps, each raw in a light tone and its running mean over it, with axes and a key."""

    label: str
    """what the y axis counts"""
    unit: str
    """what the x axis counts"""
    description: str
    """for those who do not see the figure"""
    curves: list[Curve]
    x_ticks: list[Mark]
    y_ticks: list[Mark]
    level: str | None
    """where a dashed line lies across"""
    marks: list[Mark]
    """where dashed lines stand upright, with a short text each"""
    clipped: bool
    """whether raw values lie outside the plot"""


def chart(
    lines: Mapping[str, Points],
    *,
    label: str,
    floor: float | None = None,
    level: float | None = None,
    marks: Mapping[float, str] | None = None,
    unit: str = "step",
) -> Chart:
    """The chart of some lines.

    lines: name -> (step, value) points with finite values, in the order of the steps, at least one point each
    label: what the y axis counts
    floor: a value that the y axis reaches down to
    level: a value at which a dashed line lies across
    marks: step -> a short text at a dashed upright line; what lies beyond the steps is left out
    unit: what the x axis counts, where it is not steps
    """
    smooth = {name: _smooth(points) for name, points in lines.items()}
    steps = [step for points in lines.values() for step, _ in points]
    left, right = min(steps), max(steps)
    if left == right:
        left, right = left - 1, right + 1
    low, high, clipped = _range(lines, smooth, floor, level)

    def across(step: float) -> str:
        return f"{(step - left) / (right - left) * 100:.2f}"

    def down(value: float) -> str:
        return f"{(high - value) / (high - low) * 100:.2f}"

    return Chart(
        label=label,
        unit=unit,
        description=f"{label} over {unit}s {number(min(steps))} to {number(max(steps))}: {', '.join(lines)}",
        curves=[
            Curve(
                name=name,
                colour=f"c{index % COLOURS}",
                last=number(smooth[name][-1][1]),
                raw=_path(_thin(points), across, down),
                mean=_path(smooth[name], across, down),
            )
            for index, (name, points) in enumerate(lines.items())
        ],
        x_ticks=[Mark(across(step), number(step)) for step in ticks(left, right, 4, whole=True)],
        y_ticks=[Mark(down(value), number(value)) for value in ticks(low, high, 4)],
        level=None if level is None else down(level),
        marks=[Mark(across(step), text) for step, text in (marks or {}).items() if left <= step <= right],
        clipped=clipped,
    )


def by_scale(lines: dict[str, Points], ratio: float = 4.0) -> list[dict[str, Points]]:
    """The lines in groups whose typical sizes lie within `ratio`, so that one loss does not flatten another."""

    def size(name: str) -> float:
        return sorted(abs(value) for _, value in lines[name])[len(lines[name]) // 2]

    groups: list[dict[str, Points]] = []
    for name in sorted(lines, key=size, reverse=True):
        if groups and size(next(iter(groups[-1]))) <= ratio * max(size(name), 1e-12):
            groups[-1][name] = lines[name]
        else:
            groups.append({name: lines[name]})
    return groups


def ticks(low: float, high: float, wanted: int, *, whole: bool = False) -> list[float]:
    """Round values between low and high, about `wanted` of them; `whole` keeps to whole numbers."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    if whole:
        step = max(1.0, float(round(step)))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _path(points: Points, across: Callable[[float], str], down: Callable[[float], str]) -> str:
    """The points as an SVG path; its last stroke makes a single point visible."""
    return "M" + "L".join(f"{across(step)} {down(value)}" for step, value in points) + "h0.001"


def _smooth(points: Points) -> Points:
    """The mean of the middle half of a window around each point, a twentieth of the line wide.

    The middle half, since one step that went wild should not lift the line for as long as the window is wide. The
    window shrinks towards the start, where losses fall fast, and towards the end looks back more than ahead.
    """
    reach = len(points) // 40
    every = math.ceil(len(points) / (2 * RAW_POINTS))
    values, smooth = [value for _, value in points], []
    for index in sorted({*range(0, len(points), every), len(points) - 1}):
        back = min(reach, index)
        window = sorted(values[index - back : index + back + 1])
        middle = window[len(window) // 4 : len(window) - len(window) // 4]
        smooth.append((points[index][0], sum(middle) / len(middle)))
    return smooth


def _thin(points: Points) -> Points:
    """A line that looks the same and has at most twice RAW_POINTS points."""
    if len(points) <= 2 * RAW_POINTS:
        return points
    width = math.ceil(len(points) / RAW_POINTS)
    stretches = [points[start : start + width] for start in range(0, len(points), width)]
    kept = [(min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])) for part in stretches]
    return [point for pair in kept for point in sorted(set(pair))]


def _range(
    lines: Mapping[str, Points], smooth: Mapping[str, Points], floor: float | None, level: float | None
) -> tuple[float, float, bool]:
    """(low, high, whether raw values lie outside): all smooth lines, the level, the middle 98 % of the raw values."""
    held = [value for points in smooth.values() for _, value in points] + ([] if level is None else [level])
    raw = sorted(value for points in lines.values() for _, value in points)
    edge = len(raw) // 100
    low, high = min(*held, raw[edge]), max(*held, raw[-1 - edge])
    if floor is not None:
        low = min(low, floor)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low, high = (low if floor is not None and low == floor else low - margin), high + margin
    return low, high, raw[0] < low or raw[-1] > high
