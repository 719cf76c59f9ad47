"""Named styles: mixes of layers of the ImageNet network, for people who do not want to know its layers."""

from __future__ import annotations

from typing import Any, NamedTuple

from reverie.utils.errors import UserError, near_miss


class Style(NamedTuple):
    """Layers to climb, and what differs from the default ascent."""

    about: str
    layers: tuple[str, ...]
    ascent: dict[str, Any] = {}


STYLES = {
    "creatures": Style("dogs, birds and snouts that look out of clouds", ("block11.expand",)),
    "serpents": Style("coils, scales and rows of eyes", ("block9",)),
    "scales": Style("scales and spirals all over", ("block7",)),
    "labyrinth": Style("walls and passages", ("block4",)),
    "leather": Style("pressed ornaments along the edges", ("block6.expand",)),
    "hatching": Style("strokes of a pen", ("block2",), {"smoothing": 1.0}),
}


def find_style(name: str) -> Style:
    """The style of a name. Raises UserError, with the closest name."""
    if name not in STYLES:
        hint = near_miss(name, list(STYLES)) or f" There are: {', '.join(STYLES)}."
        raise UserError(f"there is no style '{name}'.{hint}")
    return STYLES[name]


def describe_styles() -> str:
    """The styles with what they show and their layers, one a line."""
    wide = max(map(len, STYLES))
    return "\n".join(f"{name:{wide}}  {style.about} ({', '.join(style.layers)})" for name, style in STYLES.items())
