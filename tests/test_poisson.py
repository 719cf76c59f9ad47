"""The Poisson equation: against dense systems, harmonic functions, and its own normal equations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

from reverie.transforms.poisson import (
    Gradients,
    dct,
    gaussian_poisson,
    gradients,
    inverse_dct,
    minus_divergence,
    poisson_in_mask,
)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """G x: [B,C,H,W], the Gaussian of `gaussian_poisson` by SciPy's DCT-II."""
    rows, columns = (np.pi / side * np.arange(side) for side in x.shape[2:])
    blur = np.exp(-0.5 * sigma**2 * (rows[:, None] ** 2 + columns**2))
    return torch.from_numpy(scipy.fft.idctn(scipy.fft.dctn(x.numpy(), axes=(2, 3)) * blur, axes=(2, 3)))


def blob(height: int, width: int) -> Tensor:
    """A mask [1,1,H,W] with holes, islands and pixels at the frame."""
    smooth = gaussian_blur(images(1, 1, height, width), min(height, width) / 10)
    return smooth > smooth.median()


@pytest.mark.parametrize("n", [1, 2, 7, 16, 33])
def test_dct_is_scipys(n: int) -> None:
    x = images(2, 3, n)
    np.testing.assert_allclose(dct(x).numpy(), scipy.fft.dct(x.numpy(), type=2, axis=-1), atol=1e-12)
    torch.testing.assert_close(inverse_dct(dct(x)), x)


def test_gradients_and_divergence_are_adjoint() -> None:
    x, g = images(1, 1, 5, 7), Gradients(images(1, 1, 5, 6, seed=1), images(1, 1, 4, 7, seed=2))
    own = gradients(x)
    torch.testing.assert_close((own.x * g.x).sum() + (own.y * g.y).sum(), (x * minus_divergence(g)).sum())


@pytest.mark.parametrize(("beta", "sigma"), [(1e-3, 0.0), (0.1, 1.0), (1.0, 4.0)])
def test_gaussian_poisson_solves_its_normal_equations(beta: float, sigma: float) -> None:
    g, colours = gradients(images(1, 3, 61, 48)), images(1, 3, 61, 48, seed=1)
    x = gaussian_poisson(g, colours, beta, sigma)
    b = minus_divergence(g) + beta * gaussian_blur(colours, sigma)
    left = minus_divergence(gradients(x)) + beta * gaussian_blur(gaussian_blur(x, sigma), sigma)
    assert float((left - b).norm() / b.norm()) <= 1e-12


def test_an_image_of_its_own_gradients_and_colours_is_itself() -> None:
    x = images(1, 2, 20, 30)
    torch.testing.assert_close(gaussian_poisson(gradients(x), x, 0.3, 0.0), x)
    torch.testing.assert_close(gaussian_poisson(gradients(x), gaussian_blur(x, 1.0), 0.3, 1.0), x)


def dense(mask: Tensor, known: Tensor, g: Gradients, attachment: float, target: Tensor) -> Tensor:
    """The same by a dense system, pixel by pixel."""
    height, width = mask.shape[2:]
    inside = [(r, c) for r in range(height) for c in range(width) if mask[0, 0, r, c]]
    number = {place: i for i, place in enumerate(inside)}
    a, b = torch.zeros(len(inside), len(inside), dtype=torch.float64), torch.zeros(len(inside), dtype=torch.float64)
    for (r, c), i in number.items():
        a[i, i] += attachment
        b[i] += attachment * target[0, 0, r, c]
        for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            q = (r + dr, c + dc)
            if not (0 <= q[0] < height and 0 <= q[1] < width):
                continue
            field = g.x if dc else g.y
            first = (min(r, q[0]), min(c, q[1]))
            sign = -1 if (dr, dc) in ((0, 1), (1, 0)) else 1  # what x(p) - x(q) should be
            b[i] += sign * field[0, 0, first[0], first[1]]
            a[i, i] += 1
            if q in number:
                a[i, number[q]] -= 1
            else:
                b[i] += known[0, 0, q[0], q[1]]
    out = known.clone()
    for place, value in zip(inside, torch.linalg.solve(a, b), strict=True):
        out[0, 0, place[0], place[1]] = value
    return out


@pytest.mark.parametrize("attachment", [0.0, 0.05])
def test_the_solution_in_a_mask_is_that_of_the_dense_system(attachment: float) -> None:
    mask, known, source = blob(17, 22), images(1, 1, 17, 22, seed=1), images(1, 1, 17, 22, seed=2)
    found = poisson_in_mask(gradients(source), known, mask, attachment, source)
    torch.testing.assert_close(found, dense(mask, known, gradients(source), attachment, source), atol=1e-8, rtol=0)
    assert torch.equal(found[~mask], known[~mask])


def test_each_image_and_channel_is_solved_by_itself() -> None:
    masks = torch.cat([blob(24, 24), blob(24, 24).flip(3)])
    known, source = images(2, 3, 24, 24), images(2, 3, 24, 24, seed=1)
    found = poisson_in_mask(gradients(source), known, masks)
    for i in range(2):
        for c in range(3):
            alone = (t[i : i + 1, c : c + 1] for t in (source, known))
            g, one = gradients(next(alone)), next(alone)
            torch.testing.assert_close(
                found[i : i + 1, c : c + 1], poisson_in_mask(g, one, masks[i : i + 1]), atol=1e-7, rtol=0
            )


def test_a_plane_is_continued_through_a_hole() -> None:
    rows, columns = torch.meshgrid(torch.arange(90.0), torch.arange(70.0), indexing="ij")
    plane = (0.3 * rows - 0.2 * columns)[None, None].double()
    mask = blob(90, 70)
    mask[..., 0], mask[..., -1], mask[..., 0, :], mask[..., -1, :] = False, False, False, False  # the frame has no flux
    flat = Gradients(torch.zeros(1, 1, 90, 69).double(), torch.zeros(1, 1, 89, 70).double())
    torch.testing.assert_close(poisson_in_mask(flat, plane, mask), plane, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (3, 3), (129, 65)])
def test_a_residual_of_1e_10_at_any_size(size: tuple[int, int]) -> None:
    mask = torch.ones(1, 1, *size, dtype=torch.bool)
    mask[0, 0, 0, 0] = False
    known, source = images(1, 1, *size), images(1, 1, *size, seed=1)
    found = poisson_in_mask(gradients(source), known, mask)
    b = minus_divergence(gradients(source)) * mask
    residual = minus_divergence(gradients(found)) * mask - b
    assert float(residual.norm()) <= 1e-9 * float((minus_divergence(gradients(known * ~mask)) * mask - b).norm())


def test_a_fixed_number_of_iterations_comes_near() -> None:
    mask, known, source = blob(64, 64), images(1, 3, 64, 64).float(), images(1, 3, 64, 64, seed=1).float()
    rough = poisson_in_mask(gradients(source), known, mask, iterations=8)
    exact = poisson_in_mask(gradients(source.double()), known.double(), mask)
    assert float((rough - exact).abs().max()) < 0.02 * float(exact.std())


@pytest.mark.parametrize("hole", [False, True])
def test_iterations_do_not_grow_with_the_mask(hole: bool) -> None:
    """A full mask is the slowest: each grid has to know where the known pixels are."""
    for size in (64, 256):
        mask = torch.zeros(1, 1, size, size, dtype=torch.bool)
        mask[..., 1:-1, 1:-1] = True
        mask[..., size // 3, size // 2] = not hole
        known, source = images(1, 1, size, size), images(1, 1, size, size, seed=1)
        found = poisson_in_mask(gradients(source), known, mask, iterations=14)
        b = (minus_divergence(gradients(source)) - minus_divergence(gradients(known * ~mask))) * mask
        residual = b - minus_divergence(gradients(found * mask)) * mask
        assert float(residual.norm()) <= 1e-9 * float(b.norm())
