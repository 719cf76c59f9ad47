"""MATLAB's imresize: against sums in whole numbers, against PyTorch away from borders, and on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reverie.transforms.resampling import cubic, imresize, imresize_tensor, to_levels

HALF = np.array([-3, -9, 29, 111, 111, 29, -9, -3])
"""256 times the weights of the kernel at offsets of 1.75, 1.25 ... pixels, for half the size (Keys 1981, a = -1/2)"""


def random_levels(*shape: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(7)).integers(0, 256, shape).astype(np.uint8)


def halved(pixels: np.ndarray, axis: int) -> np.ndarray:
    """One pass to half the size in whole numbers: borders repeated, rounded half up, clipped."""
    rows = np.moveaxis(pixels.astype(np.int64), axis, 0)
    padded = np.pad(rows, ((3, 3), *((0, 0),) * (rows.ndim - 1)), "edge")
    total = np.sum([w * padded[k : k + len(rows) : 2][: len(rows) // 2] for k, w in enumerate(HALF)], 0)
    return np.moveaxis(((total + 128) >> 8).clip(0, 255), 0, axis).astype(np.uint8)


def test_half_the_size_is_exact() -> None:
    pixels = random_levels(26, 34, 3)
    assert np.array_equal(imresize(pixels, (13, 17)), halved(halved(pixels, 0), 1))


def test_rows_come_before_columns() -> None:
    """The values between the passes are rounded, so the order shows."""
    pixels = random_levels(64, 64, 1)
    other = halved(halved(pixels, 1), 0)
    assert (imresize(pixels, (32, 32)) != other).any()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_away_from_borders_it_is_the_antialiased_cubic_of_pytorch(factor: int) -> None:
    x = torch.from_numpy(random_levels(1, 3, 16 * factor, 20 * factor)).double() / 127.5 - 1
    ours = imresize_tensor(x, (16, 20))
    theirs = F.interpolate(x, (16, 20), mode="bicubic", antialias=True, align_corners=False)
    assert (ours - theirs)[:, :, 3:-3, 3:-3].abs().max() < 1e-6
    assert (ours - theirs).abs().max() > 1e-3  # MATLAB repeats the border; PyTorch leaves it out


@pytest.mark.parametrize("size", [(5, 7), (30, 20), (12, 9), (1, 1)])
def test_a_level_stays_and_the_dtype_too(size: tuple[int, int]) -> None:
    for dtype, level in ((np.uint8, 255), (np.uint16, 65535), (np.uint16, 1)):
        made = imresize(np.full((12, 9, 2), level, dtype), size)
        assert made.shape == (*size, 2)
        assert made.dtype == dtype
        assert (made == level).all()
    halves = imresize(np.full((12, 9, 2), 0.5), size)  # floats are not rounded
    assert np.abs(halves - 0.5).max() < 1e-12


def test_enlarging_keeps_the_pixels_of_odd_factors() -> None:
    """With an odd factor the middle of each block lies on a pixel, where the kernel is 1 and elsewhere 0."""
    pixels = random_levels(9, 8, 3)
    assert np.array_equal(imresize(pixels, (27, 24))[1::3, 1::3], pixels)
    assert cubic(np.array([0.0, 1.0, 2.0, 2.5])).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_tensors_in_levels_equal_files(factor: int) -> None:
    pixels = random_levels(16 * factor, 12 * factor, 3)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 127.5 - 1
    made = ((imresize_tensor(x, (16, 12), levels=True)[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(made - imresize(pixels, (16, 12))).max() < 1e-6
    assert to_levels(torch.tensor([-2.0, 0.0, 2.0])).tolist() == pytest.approx([-1.0, 128 / 127.5 - 1, 1.0], abs=1e-6)
