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
    "menagerie": Style("many small animals", ("block12.expand",)),
    "fur": Style("eyes in swirls of fur", ("block10.expand",)),
    "serpents": Style("coils, scales and rows of eyes", ("block9",)),
    "fishes": Style("round eyes between stripes and dots", ("block9.depthwise",)),
    "plumage": Style("feathers, cones and shells", ("block13.expand",), {"octaves": 5}),
    "gardens": Style("trees, hedges and woven cloth", ("block13",)),
    "mosaic": Style("small dark windows in rows", ("block9.expand",)),
    "ornaments": Style("spirals and rows of beads", ("block7",)),
    "glass": Style("panes in lead, each with its own pattern", ("block6.expand",)),
    "collage": Style("creatures in front of panes of glass", ("block11.expand", "block5.expand")),
    "labyrinth": Style("walls and passages", ("block4",)),
    "net": Style("a net of knots", ("block3.depthwise",)),
    "hatching": Style("strokes of a broad pen", ("block2",), {"smoothing": 1.0}),
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
