"""Masks: what marks the hole of a photo, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reverie.media import Image, Photo
from reverie.media.mask import Marking, check_same_size, find_hole, mask_levels, widened
from reverie.utils.errors import UserError

H, W = 20, 30


def square() -> np.ndarray:
    """A hole bool [20,30]."""
    inside = np.zeros((H, W), bool)
    inside[5:12, 8:20] = True
    return inside


def photo(**fields: Any) -> Photo:
    pixels = np.random.default_rng(0).integers(0, 200, (H, W, 3)).astype(np.uint8)
    return Photo(**{"pixels": pixels, "name": "p.png", **fields})


def mask(levels: np.ndarray, **fields: Any) -> Photo:
    return Photo(levels if levels.ndim == 3 else levels[:, :, None], name="m.png", **fields)


@pytest.mark.parametrize(
    "levels",
    [
        (square() * 255).astype(np.uint8),
        square().astype(np.uint8),
        (square() * 65535).astype(np.uint16),
        np.repeat((square() * 255).astype(np.uint8)[:, :, None], 3, 2),
        np.where(square(), 251, 6).astype(np.uint8),  # as JPEG leaves it
        np.where(square(), 128, 127).astype(np.uint8),  # the threshold
    ],
    ids=["255", "1", "16 bits", "colour", "jpeg", "threshold"],
)
def test_white_is_the_hole_however_it_is_written(levels: np.ndarray) -> None:
    hole = find_hole(photo(), mask(levels), Marking())
    assert np.array_equal(hole.pixels, square())
    assert "white in m.png is the hole: 14.0% of p.png" in hole.notes
    inverted = find_hole(photo(), mask(levels), Marking(invert=True))
    assert np.array_equal(inverted.pixels, ~square())
    assert any("leave --invert away" in note for note in inverted.notes)  # most of the photo


def test_a_mask_of_one_colour_is_read_by_its_alpha() -> None:
    brush = mask(np.zeros((H, W, 3), np.uint8), alpha=(square() * 255).astype(np.uint8))
    notes: list[str] = []
    assert np.array_equal(mask_levels(brush, notes) > 0.5, square())
    assert notes == ["the mask is of one colour, so its alpha is taken"]


@pytest.mark.parametrize("colour", ["ff00ff", "#ff00ff", "f0f", "magenta", "rgb(255,0,255)"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_colour_marks_the_hole_in_the_photo(colour: str, depth: Any) -> None:
    pixels = photo().pixels.copy()
    pixels[square()] = (250, 9, 244)  # as JPEG leaves it
    given = photo(pixels=pixels.astype(depth) * (257 if depth == np.uint16 else 1))
    assert np.array_equal(find_hole(given, None, Marking(colour)).pixels, square())


def test_paint_that_jpeg_or_a_brush_has_mixed_is_widened_unless_stated_otherwise() -> None:
    pixels = photo().pixels.copy()
    pixels[square()] = (255, 0, 255)
    sharp = find_hole(photo(pixels=pixels), None, Marking("ff00ff", grow=None))
    assert np.array_equal(sharp.pixels, square())
    pixels[6, 9] = (250, 9, 244)
    painted = photo(pixels=pixels)
    soft = find_hole(painted, None, Marking("ff00ff", grow=None))
    assert np.array_equal(soft.pixels, widened(square(), 4))
    assert "has a soft edge" in soft.notes[0]
    assert np.array_equal(find_hole(painted, None, Marking("ff00ff", grow=0)).pixels, square())
    of_mask = find_hole(photo(), mask(pixels), Marking("ff00ff", grow=None))
    assert np.array_equal(of_mask.pixels, square())


def test_a_colour_marks_a_class_in_a_label_map() -> None:
    labels = np.where(square()[:, :, None], (128, 0, 0), (64, 0, 0)).astype(np.uint8)
    assert np.array_equal(find_hole(photo(), mask(labels), Marking("800000")).pixels, square())
    with pytest.raises(UserError, match="name the one that marks the hole by --mask-colour"):
        find_hole(photo(), mask(labels), Marking())


@pytest.mark.parametrize("edge", [0, 100, 240])
def test_what_is_transparent_even_in_part_is_the_hole(edge: int) -> None:
    alpha = np.where(square(), edge, 255).astype(np.uint8)
    assert np.array_equal(find_hole(photo(alpha=alpha), None, Marking(alpha=True)).pixels, square())
    copy = photo(alpha=alpha, name="erased.png")
    assert np.array_equal(find_hole(photo(), copy, Marking(alpha=True)).pixels, square())


def test_a_box_is_shares_of_the_width_and_of_the_height() -> None:
    hole = find_hole(photo(), None, Marking(box=(8 / W, 5 / H, 20 / W, 12 / H)))
    assert np.array_equal(hole.pixels, square())
    image = Image(photo().pixels, "p.png")
    assert np.array_equal(find_hole(image, None, Marking(box=(8 / W, 5 / H, 20 / W, 12 / H))).pixels, square())


def test_a_hole_grows_evenly_and_not_beyond_the_frame() -> None:
    point = np.zeros((11, 11), bool)
    point[5, 5] = True
    grown = widened(point, 3)
    assert grown[5].sum() == grown[:, 5].sum() == 7
    assert grown[2, 5]
    assert not grown[2, 2]
    assert np.array_equal(grown, grown[::-1])
    assert np.array_equal(grown, grown.T)
    assert widened(point, 20).all()
    corner = np.zeros((5, 5), bool)
    corner[0, 0] = True
    assert widened(corner, 1).sum() == 3


def test_how_much_is_in_the_hole_is_not_rounded_to_nothing_or_all() -> None:
    for size, said in ((1, "1 pixel of"), (7, "7 pixels of"), (10_000, "25.0% of"), (39_999, "all but 1 pixel of")):
        levels = np.zeros(40_000, np.uint8)
        levels[:size] = 255
        of = Photo(np.zeros((200, 200, 3), np.uint8), name="p.png")
        assert f"is the hole: {said} p.png" in find_hole(of, mask(levels.reshape(200, 200)), Marking()).notes[0]


@pytest.mark.parametrize(
    ("given", "marking", "message"),
    [
        (np.zeros((H, W), np.uint8), {}, "no pixel is brighter than 127"),
        (np.full((H, W), 255, np.uint8), {}, "nothing is left to fill the hole from"),
        (np.full((H, W), 255, np.uint8), {"invert": True}, "with --invert nothing is in the hole"),
        (np.zeros((H, W), np.uint8), {"invert": True}, "or leave --invert away"),
        (np.zeros((H, W + 1), np.uint8), {}, "the mask m.png is 31x20 pixels and the photo p.png 30x20"),
        (np.zeros((W, H), np.uint8), {}, "turned by a quarter"),
        (None, {"colour": "ff00ff"}, "no pixel is within 24 levels"),
        (None, {"colour": "magneta"}, "no colour. Did you mean 'magenta'"),
        (None, {"colour": "12345"}, "'12345' is no colour"),
        (None, {"alpha": True}, "p.png has no alpha"),
        (None, {"box": (0.5, 0.5, 0.5, 1.0)}, "shares of the width and of the height, from 0 to 1"),
        (None, {"box": (0.1, 0.2, 0.3)}, "left,top,right,bottom"),
        (None, {"box": (3, 2, 15, 10)}, r"Pixels 3,2,15,10 of p.png \(30x20\) are 0.1,0.1,0.5,0.5"),
        (None, {"box": (0.5, 0.5, 0.501, 0.501)}, "holds no pixel"),
        (None, {"box": (0, 0, 1, 1)}, "nothing is left"),
    ],
)
def test_a_hole_that_is_none_is_one_line(given: np.ndarray | None, marking: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_hole(photo(), None if given is None else mask(given), Marking(**marking))


def test_alpha_without_transparency_is_one_line() -> None:
    with pytest.raises(UserError, match="it has no transparent pixel"):
        find_hole(photo(alpha=np.full((H, W), 255, np.uint8)), None, Marking(alpha=True))


@pytest.mark.parametrize(
    ("there", "marking", "message"),
    [
        (False, {}, "nothing says where the hole is"),
        (True, {"box": (0, 0, 0.5, 0.5)}, "--mask and --box each say"),
        (False, {"colour": "f00", "alpha": True}, "--mask-colour and --mask-alpha each say"),
    ],
)
def test_one_thing_marks_the_hole(there: bool, marking: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Marking(**marking).check(there)


def test_a_mask_of_another_size_says_both() -> None:
    with pytest.raises(UserError, match="4x3 pixels and the frame 30x20; a rule"):
        check_same_size(mask(np.zeros((3, 4), np.uint8)), photo(), "the frame", "a rule")
