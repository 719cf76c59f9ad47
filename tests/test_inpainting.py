"""Inpainting: the Laplace fill that everything starts from."""

from __future__ import annotations

import pytest
import torch

from reverie import UserError
from reverie.transforms.laplace_fill import laplace_fill


def images(n: int, channels: int = 3, height: int = 24, width: int = 40) -> torch.Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def boxes(n: int, height: int = 24, width: int = 40) -> torch.Tensor:
    hole = torch.zeros(n, 1, height, width, dtype=torch.bool)
    for i in range(n):
        hole[i, :, 3 + i : 15 + i, 20 + i : 40] = True  # up to the frame on the right
    return hole


# -- the Laplace fill --------------------------------------------------------------------------------------------------


def test_a_plane_is_filled_exactly() -> None:
    """A plane solves Laplace's equation; a hole that touches the frame gets a surface that is level there."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(40.0), indexing="ij")
    plane = (0.02 * rows - 0.03 * columns)[None, None].double()
    hole = torch.zeros(1, 1, 24, 40, dtype=torch.bool)
    hole[..., 5:20, 7:30] = True
    assert (laplace_fill(plane, hole) - plane).abs().max() < 1e-4
    at_frame = torch.zeros_like(hole)
    at_frame[..., 10:, :] = True
    filled = laplace_fill((0.02 * columns)[None, None].double(), at_frame)
    assert (filled[..., -1, :] - filled[..., -2, :]).abs().max() < 2e-3


def test_inside_is_the_mean_of_the_four_neighbours_and_outside_is_kept() -> None:
    x, hole = images(2), boxes(2)
    filled = laplace_fill(x.double(), hole)
    padded = torch.nn.functional.pad(filled, (1, 1, 1, 1), "replicate")
    mean = (padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2] + padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1]) / 4
    assert ((filled - mean) * hole).abs().max() < 1e-4
    assert torch.equal(laplace_fill(x, hole)[~hole.expand_as(x)], x[~hole.expand_as(x)])


def test_what_is_in_the_hole_does_not_matter_and_images_do_not_mix() -> None:
    x, hole = images(3), boxes(3)
    whole = laplace_fill(x, hole)
    assert torch.equal(whole, laplace_fill(x.masked_fill(hole, float("nan")), hole))
    assert torch.equal(whole[1:2], laplace_fill(x[1:2], hole[1:2]))
    assert (whole - laplace_fill(x, hole, iterations=6)).abs().max() < 0.01


def test_bfloat16_around_it_changes_nothing() -> None:
    x, hole = images(2), boxes(2)
    with torch.autocast("cpu", torch.bfloat16):
        within = laplace_fill(x, hole, iterations=6)
    assert torch.equal(within, laplace_fill(x, hole, iterations=6))


def test_an_empty_hole_changes_nothing_and_a_full_one_is_refused() -> None:
    x = images(1)
    assert torch.equal(laplace_fill(x, torch.zeros(1, 1, 24, 40, dtype=torch.bool)), x)
    with pytest.raises(UserError, match="covers the whole image"):
        laplace_fill(x, torch.ones(1, 1, 24, 40, dtype=torch.bool))
