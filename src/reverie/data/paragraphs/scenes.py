"""`scenes`: drawn scenes of three to six objects on a floor, each with five paragraphs that state every fact of it.

5 shapes x 8 colours x 2 sizes x 3 materials; three rows in depth, in which nearer objects are larger, lower and in
front; light and background vary. 2,000 scenes to train on, 100 to validate, 300 to test; `scenes:500` has 500 to train.
Scene i of a split depends on the split and i alone. Pairs of colour and shape in HELD_OUT_PAIRS occur in val and test
only.

Objects are ray-marched: distance functions (Hart 1996) by an orthographic camera that looks down by CAMERA_TILT.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from reverie.data.paragraphs import scene_grammar
from reverie.data.paragraphs.scene_grammar import COLOURS, HELD_OUT_PAIRS, MATERIALS, ROWS, SHAPES, SIZES, SceneObject
from reverie.utils.errors import UserError

NAME = "scenes"
VERSION = 3  # part of the fingerprint: raise it whenever a scene would be drawn or described differently
NATIVE = 128
"""pixels a side by default; scenes are drawn sharply at any size"""
COUNTS = {"train": 2_000, "val": 100, "test": 300}
MOST = 1_000_000
REFERENCES = 5
"""paragraphs of each scene"""
OBJECTS = (3, 6)
"""at least and at most"""
TWIN = 0.04
"""probability that an object after the first looks like an earlier one"""
RADII = {"small": 0.062, "large": 0.11}
"""of objects in the middle row, in widths of the picture"""
SCALES = {"front": 1.16, "middle": 1.0, "back": 0.86}
FLOORS = {"front": 0.9, "middle": 0.7, "back": 0.52}
"""where an object of a row stands: the height of its foot, from the top, in heights of the picture"""
HORIZON = 0.33
"""where floor and wall meet, from the top, in heights of the picture"""
MARGIN, JITTER = 0.02, 0.012
GAPS = {0: 1.02, 1: 0.62, 2: 0.5}
"""rows between two objects -> the least distance of their middles across, in sums of their radii"""
CAMERA_TILT = math.radians(20)
SUPERSAMPLING = 3
CAMERA_DISTANCE = 3.5
"""radii of an object, by which what it mirrors varies over its flat faces"""
MARCHING_STEPS = 32
REACH = 1.25
"""radii around an object that it lies within"""
RGB = {
    "grey": (0.46, 0.46, 0.47), "red": (0.78, 0.11, 0.10), "blue": (0.12, 0.24, 0.80), "green": (0.10, 0.52, 0.16),
    "brown": (0.42, 0.23, 0.09), "purple": (0.48, 0.14, 0.66), "cyan": (0.10, 0.70, 0.75), "yellow": (0.92, 0.79, 0.10),
}  # fmt: skip

Array = np.ndarray


class Scene(NamedTuple):
    """What is in a picture, and in which light."""

    objects: tuple[SceneObject, ...]
    """from left to right"""
    turns: tuple[float, ...]
    """radians that each object is turned by, seen from above"""
    light: tuple[float, float, float]
    """direction to the light: right, up, towards the viewer; of length 1"""
    floor: tuple[float, float, float]
    wall: tuple[float, float, float]
    """RGB in 0..1"""


def number_of_scenes(spec: str) -> dict[str, int]:
    """How many scenes each split of `scenes` or `scenes:N` has. Raises UserError."""
    _, colon, number = spec.partition(":")
    if colon and not (number.isascii() and number.isdecimal() and 1 <= int(number) <= MOST):
        raise UserError(
            f"'{number}' in {spec} is not a number of scenes from 1 to {MOST}: use, for example, {NAME}:500"
        )
    return {**COUNTS, "train": int(number)} if colon else dict(COUNTS)


def scene(split: str, i: int) -> Scene:
    """Scene i of a split."""
    stream = _stream(split, i, 0)
    objects: list[SceneObject] | None = None
    while objects is None:
        objects = _placed(_things(split, stream), stream)
    azimuth, height = stream.uniform(-1.0, 1.0), stream.uniform(0.75, 1.1)
    light = np.array([math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height)])
    hue, tint, level = stream.uniform(0, 2 * math.pi), stream.uniform(0.01, 0.07), stream.uniform(0.5, 0.74)
    wave = np.cos(hue - np.array([0, 2.1, 4.2]))
    floor, wall = level + tint * wave, (level + stream.uniform(-0.2, 0.16)) + tint * wave[::-1]
    turns = stream.uniform(0, math.pi, len(objects))
    return Scene(tuple(objects), tuple(turns.tolist()), tuple(light.tolist()), tuple(floor.tolist()),
                 tuple(wall.tolist()))  # fmt: skip


def references(split: str, i: int, objects: tuple[SceneObject, ...]) -> tuple[tuple[str, ...], ...]:
    """The paragraphs on scene i of a split."""

    def paragraph(k: int) -> tuple[str, ...]:
        stream = _stream(split, i, k + 1)
        return scene_grammar.describe(objects, lambda options: options[int(stream.random() * len(options))])

    return tuple(paragraph(k) for k in range(REFERENCES))


def _stream(split: str, i: int, k: int) -> np.random.Generator:
    """A random stream of its own for part k of scene i."""
    return np.random.Generator(np.random.Philox(key=[int.from_bytes(f"{split}{k}".encode()[:8], "little"), i]))


def _things(split: str, stream: np.random.Generator) -> list[SceneObject]:
    """The objects of a scene, not placed yet. Two of them at least have something in common."""

    def one(options: tuple[str, ...]) -> str:
        return options[int(stream.random() * len(options))]

    things: list[SceneObject] = []
    for _ in range(int(stream.integers(OBJECTS[0], OBJECTS[1] + 1))):
        pair = (one(COLOURS), one(SHAPES))
        while split == "train" and pair in HELD_OUT_PAIRS:
            pair = (one(COLOURS), one(SHAPES))
        thing = SceneObject(one(SIZES), pair[0], one(MATERIALS), pair[1], one(tuple(ROWS)), 0.0)
        if things and stream.random() < TWIN:
            thing = things[int(stream.random() * len(things))]._replace(row=thing.row)
        things.append(thing)
    return things if scene_grammar.shared(things) else _things(split, stream)


def _placed(things: list[SceneObject], stream: np.random.Generator) -> list[SceneObject] | None:
    """The objects from left to right with room between them, spare room shared at random; None if they find no room."""
    rows, lefts = list(ROWS), list[float]()
    for k, thing in enumerate(things):
        radius = radius_of(thing)
        apart = [
            x + GAPS[abs(rows.index(thing.row) - rows.index(other.row))] * (radius_of(other) + radius)
            for x, other in zip(lefts, things[:k], strict=True)
        ]
        lefts.append(max([MARGIN + radius, *apart]))
    spare = 1 - MARGIN - max(x + radius_of(thing) for x, thing in zip(lefts, things, strict=True))
    if spare < 0:
        return None
    shares = np.sort(stream.random(len(things))) * spare
    return [thing._replace(x=x + float(more)) for thing, x, more in zip(things, lefts, shares, strict=True)]


def radius_of(thing: SceneObject) -> float:
    """Half the width of an object in its row, in widths of the picture."""
    return RADII[thing.size] * SCALES[thing.row]


# -- drawing -----------------------------------------------------------------------------------------------------------


def draw(split: str, i: int, size: int) -> Array:
    """The picture of scene i of a split: uint8 [size,size,3]."""
    return render(scene(split, i), size, _stream(split, i, 9))


def render(shown: Scene, size: int, stream: np.random.Generator) -> Array:
    """The picture of a scene: uint8 [size,size,3], averaged from SUPERSAMPLING^2 samples a pixel."""
    canvas = _background(shown, size)
    nearest_last = sorted(range(len(shown.objects)), key=lambda k: (-list(ROWS).index(shown.objects[k].row), k))
    feet = {k: FLOORS[shown.objects[k].row] + float(stream.uniform(-JITTER, JITTER)) for k in nearest_last}
    for k in nearest_last:
        _cast_shadow(canvas, shown, shown.objects[k], feet[k])
    canvas = canvas.repeat(SUPERSAMPLING, 0).repeat(SUPERSAMPLING, 1)  # up to here all is soft
    for k in nearest_last:
        _draw_object(canvas, shown, k, feet[k])
    pixels = canvas.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3))
    return (255 * pixels.clip(0, 1) ** (1 / 1.2) + 0.5).astype(np.uint8)


def _background(shown: Scene, side: int) -> Array:
    """Floor and wall, [side,side,3], brighter towards the light."""
    y, x = np.mgrid[0.5:side:1.0, 0.5:side:1.0] / side
    of_floor = _step(y - HORIZON, 0.012)[..., None]  # a soft edge between them
    glow = 1 + 0.22 * (x - 0.5)[..., None] * shown.light[0] + 0.16 * (y - 0.7)[..., None] * of_floor
    return ((1 - of_floor) * np.array(shown.wall) + of_floor * np.array(shown.floor)) * glow


def _cast_shadow(canvas: Array, shown: Scene, thing: SceneObject, foot: float) -> None:
    """Darkens the floor beneath and behind an object, away from the light: a soft ellipse."""
    side, radius = len(canvas), radius_of(thing)
    shift = (-shown.light[0] * radius * 0.9, -0.35 * shown.light[2] * radius)
    y, x = np.mgrid[0.5:side:1.0, 0.5:side:1.0] / side
    across = (x - thing.x - shift[0]) / (1.25 * radius)
    along = (y - foot + 0.22 * radius - shift[1]) / (0.5 * radius)
    shade = 0.5 * np.exp(-1.6 * (across**2 + along**2) ** 1.5)
    canvas *= 1 - shade[..., None]


def _draw_object(canvas: Array, shown: Scene, k: int, foot: float) -> None:
    """Draws object k over what is behind it."""
    side, thing = len(canvas), shown.objects[k]
    radius = radius_of(thing)
    middle = foot - radius * (math.cos(CAMERA_TILT) * HEIGHTS[thing.shape] - 0.12)
    left, right = (round((thing.x + s * 1.25 * radius) * side) for s in (-1, 1))
    top, bottom = (round((middle + s * 1.35 * radius) * side) for s in (-1, 1))
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, side), min(bottom, side)
    v, u = np.mgrid[top + 0.5 : bottom : 1.0, left + 0.5 : right : 1.0]
    u, v = (u / side - thing.x) / radius, (middle - v / side) / radius  # in radii, v up
    hit, points, normals = march(SHAPE_DISTANCES[thing.shape], u, v, shown.turns[k])
    canvas[top:bottom, left:right][hit] = _shade(points, normals, thing, shown)


def _shade(points: Array, normals: Array, thing: SceneObject, shown: Scene) -> Array:
    """RGB [N,3] of points [N,3] of a surface, by material: Lambert's law, and what is mirrored."""
    light, own = np.array(shown.light), np.array(RGB[thing.colour])
    eye = _unit(np.array([0.0, math.sin(CAMERA_TILT), math.cos(CAMERA_TILT)]) * CAMERA_DISTANCE - points)
    facing = (normals @ light).clip(0)[:, None]
    diffuse = own * (0.28 + 0.06 * (1 + normals[:, 1:2]) + 0.72 * facing)
    if thing.material == "matte":
        return diffuse
    across = (normals * eye).sum(1, keepdims=True).clip(0)
    mirrored = 2 * across * normals - eye
    lamp = (mirrored @ light).clip(0)[:, None]
    up = mirrored[:, 1:2]
    if thing.material == "shiny":  # a clear coat: the lamp, its glow, and the bright wall where seen at an angle
        return 0.94 * diffuse + 0.95 * lamp**60 + 0.34 * lamp**7 + (0.08 + 0.5 * (1 - across) ** 3) * _step(up, 0.05)
    room = 0.38 + 0.75 * _step(up, 0.11) - 0.55 * np.exp(-(((up + 0.10) / 0.16) ** 2))  # a dark line at the horizon
    return (0.86 * own + 0.12) * room + (0.5 * own + 0.5) * lamp**24


def _step(values: Array, width: float) -> Array:
    """0 below 0, 1 above, with a soft step of a width between."""
    return 1 / (1 + np.exp((-values / width).clip(-60, 60)))


def _unit(vectors: Array) -> Array:
    """Vectors [N,3] with length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)


# -- shapes: signed distances of points [...,3] (right, up, towards the viewer) from the surface, in radii -------------

Distance = Callable[[Array, Array, Array], Array]


def march(distance: Distance, u: Array, v: Array, turn: float) -> tuple[Array, Array, Array]:
    """Where rays through points (u, v) of the picture [h,w] meet a shape: bool [h,w], points and normals [hits,3]."""
    tilt = CAMERA_TILT
    up = np.array([0.0, math.cos(tilt), -math.sin(tilt)])
    ahead = np.array([0.0, -math.sin(tilt), -math.cos(tilt)])
    turned = np.array([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
    start = (u[..., None] * np.array([1.0, 0, 0]) + v[..., None] * up - REACH * ahead).reshape(-1, 3) @ turned.T
    step = turned @ ahead

    def at(points: Array) -> Array:
        return distance(*points.T)

    points, gone = start.copy(), np.zeros(len(start))
    active = np.arange(len(start))
    for _ in range(MARCHING_STEPS):
        d = at(points[active])
        points[active] += d[:, None] * step
        gone[active] += d
        active = active[(d > 1e-3) & (gone[active] < 2 * REACH)]
        if not len(active):
            break
    hit = (gone < 2 * REACH) & (at(points) < 0.02)
    found = points[hit]
    slopes = np.stack([at(found + axis) - at(found - axis) for axis in np.eye(3) * 1e-3], 1)
    return hit.reshape(u.shape), found @ turned, _unit(slopes) @ turned


def _ball(x: Array, y: Array, z: Array) -> Array:
    return np.sqrt(x * x + y * y + z * z) - 0.92


def _cube(x: Array, y: Array, z: Array) -> Array:
    edge, rounding = 0.66, 0.05
    q = np.stack([np.abs(x), np.abs(y), np.abs(z)]) - (edge - rounding)
    return np.sqrt((q.clip(0) ** 2).sum(0)) + q.max(0).clip(None, 0) - rounding


def _cylinder(x: Array, y: Array, z: Array) -> Array:
    radius, height, rounding = 0.66, 0.82, 0.05
    q = np.stack([np.sqrt(x * x + z * z) - (radius - rounding), np.abs(y) - (height - rounding)])
    return np.sqrt((q.clip(0) ** 2).sum(0)) + q.max(0).clip(None, 0) - rounding


def _cone(x: Array, y: Array, z: Array) -> Array:
    height, radius = 0.9, 0.82
    slant = math.hypot(2 * height, radius)
    side = (np.sqrt(x * x + z * z) * 2 * height + (y - height) * radius) / slant
    return np.maximum(side, -y - height)


def _ring(x: Array, y: Array, z: Array) -> Array:
    return np.sqrt((np.sqrt(x * x + y * y) - 0.66) ** 2 + z * z) - 0.25


SHAPE_DISTANCES: dict[str, Distance] = {
    "ball": _ball, "cube": _cube, "cylinder": _cylinder, "cone": _cone, "ring": _ring,
}  # fmt: skip
HEIGHTS = {"ball": 0.92, "cube": 0.66, "cylinder": 0.82, "cone": 0.9, "ring": 0.91}
"""from the middle of a shape to its foot, in radii"""
