"""Line charts as plain HTML and inline SVG: no script, no fonts of their own, colours from the page's style sheet.

The lines are an SVG that is stretched over the plot, the labels are HTML laid over it at percentages; so the text
keeps its size on a telephone, which the text of a scaled SVG would not.
"""

from __future__ import annotations

import math
from html import escape

Points = list[tuple[float, float]]

COLOURS = 6  # --c0 to --c5 in the style sheet
RAW_POINTS = 400  # a line of more points is drawn as the lowest and the highest of each of that many stretches


def chart(
    lines: dict[str, Points],
    *,
    label: str,
    floor: float | None = None,
    level: float | None = None,
    marks: dict[float, str] | None = None,
    unit: str = "step",
) -> str:
    """A figure of lines over steps: each raw in a light tone, its running mean over it, with axes and a legend.

    `lines` maps a name to (step, value) points with finite values, in the order of the steps, at least one point
    each. `label` says what the y axis counts; `floor` is a value that the y axis has to reach down to; `level` a value
    that is drawn across, and `marks` are steps that are drawn upright, each with a short text; both are dashed; `unit`
    is what the x axis counts, where it is not steps.
    """
    smooth = {name: _smooth(points) for name, points in lines.items()}
    steps = [step for points in lines.values() for step, _ in points]
    left, right = min(steps), max(steps)
    if left == right:
        left, right = left - 1, right + 1
    low, high, cut = _range(lines, smooth, floor, level)

    def across(step: float) -> float:
        return (step - left) / (right - left) * 1000

    def down(value: float) -> float:
        return (high - value) / (high - low) * 1000

    rules, labels = [], []
    for value in ticks(low, high, 4):
        rules.append(f'<path class="rule" d="M0 {down(value):.1f}H1000"/>')
        labels.append(f'<span class="y" style="top:{down(value) / 10:.2f}%">{number(value)}</span>')
    for step in ticks(left, right, 4, whole=True):
        labels.append(f'<span class="x" style="left:{across(step) / 10:.2f}%">{number(step)}</span>')
    if level is not None:
        rules.append(f'<path class="level" d="M0 {down(level):.1f}H1000"/>')
    for step, text in (marks or {}).items():
        if left <= step <= right:
            rules.append(f'<path class="level" d="M{across(step):.1f} 0V1000"/>')
            labels.append(f'<span class="mark" style="left:{across(step) / 10:.2f}%">{escape(text)}</span>')
    paths, legend = [], []
    for index, (name, points) in enumerate(lines.items()):
        for kind, drawn in (("raw", _thin(points)), ("mean", smooth[name])):
            data = "L".join(f"{across(step):.1f} {down(value):.1f}" for step, value in drawn)
            paths.append(f'<path class="{kind} c{index % COLOURS}" d="M{data}h0.01"/>')
        last = number(smooth[name][-1][1])
        legend.append(f'<span><i class="c{index % COLOURS}"></i>{escape(name)} <b>{last}</b></span>')
    note = '<span class="cut">Outliers beyond the axis are cut off.</span>' if cut else ""
    words = escape(f"{label} over {unit}s {number(min(steps))} to {number(max(steps))}: {', '.join(lines)}", quote=True)
    return (
        f'<figure class="chart" role="img" aria-label="{words}">'
        f'<div class="key"><em>{escape(label)}</em>{"".join(legend)}</div>'
        f'<div class="plot"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(rules)}{''.join(paths)}</svg>{''.join(labels)}</div>"
        f'<figcaption><span class="axis">{escape(unit)}</span>{note}</figcaption></figure>'
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


def number(value: float) -> str:
    """A number as people read it: 12,500, 3.142, 0.0021, 0.00002."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 1e-7 < abs(value) < 1e-4:
        return f"{value:.9f}".rstrip("0")
    return f"{value:.4g}" if abs(value) > 1e-12 else "0"


def _smooth(points: Points) -> Points:
    """The mean of the middle half of a window around each point, a twentieth of the line wide.

    The middle half, since one step that went wild should not lift the line for as long as the window is wide. The
    window shrinks towards the start, where losses fall fast, and towards the end looks back more than ahead.
    """
    reach = len(points) // 40
    every = math.ceil(len(points) / (2 * RAW_POINTS))
    smooth = []
    for index in sorted({*range(0, len(points), every), len(points) - 1}):
        back = min(reach, index)
        window = sorted(value for _, value in points[index - back : index + back + 1])
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
    lines: dict[str, Points], smooth: dict[str, Points], floor: float | None, level: float | None
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
