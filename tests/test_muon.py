"""The optimizer Muon: what it makes of gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reverie.core.muon import UPDATE_RMS, Muon, orthogonalised


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16), (1, 9)])
def test_singular_values_become_equal_and_their_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, values, right = torch.linalg.svd(orthogonalised(matrix), full_matrices=False)
    assert values.min() > 0.65
    assert values.max() < 1.25
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    assert s.max() > 1.5 * s.min() or min(shape) == 1
    changed = u.T @ orthogonalised(matrix) @ vh.T  # diagonal, as the singular vectors are those of the matrix
    assert (changed - changed.diag().diag()).abs().max() < 1e-4
    assert left.shape[0] == shape[0]
    assert right.shape[1] == shape[1]


def test_no_gradient_is_no_update() -> None:
    weight, bias, other = (nn.Parameter(torch.ones(shape)) for shape in ((4, 3, 3, 3), (4,), (2, 2)))
    optimizer = Muon([weight, other], [bias], lr=0.1)
    weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
    optimizer.step()
    assert all(torch.equal(p, torch.ones_like(p)) for p in (weight, bias, other))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_updates_do_not_depend_on_the_scale_of_the_loss(scale: float, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(16, 8, 3, 3).to(memory_format=memory_format))
    optimizer = Muon([weight], [], lr=0.01)
    gradient = torch.randn(16, 8, 3, 3)
    weight.grad = gradient.to(memory_format=memory_format) * scale
    optimizer.step()
    expected = -0.01 * UPDATE_RMS * 72**0.5 * orthogonalised(gradient.flatten(1)).view(16, 8, 3, 3)
    assert torch.allclose(weight, expected, rtol=1e-3, atol=1e-6)
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.01 * UPDATE_RMS, rel=0.15)


def test_the_others_are_updated_by_adam() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    muon, adam = Muon([], [ours], 0.01, betas=(0.8, 0.95)), torch.optim.Adam([theirs], 0.01, (0.8, 0.95))
    for _ in range(5):
        ours.grad = torch.randn(5)
        theirs.grad = ours.grad.clone()
        muon.step()
        adam.step()
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    assert not torch.allclose(ours, torch.ones(5), atol=0.01)
