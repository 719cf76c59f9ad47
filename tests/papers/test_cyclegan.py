"""What is particular to CycleGAN: what its players minimise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from reverie.core.update import Update
from reverie.methods.cyclegan import CycleGAN
from reverie.utils.distributed import Ranks


class Seen(Update):
    """Notes each loss, and moves nothing."""

    def __call__(self, which: Any, loss: Any = None, clip: Any = None) -> torch.Tensor:
        self.losses = {**getattr(self, "losses", {}), which: float(loss.detach())}
        return loss.detach()


@pytest.mark.parametrize("cycle", [0.0, 10.0])
def test_the_losses_are_the_papers(cycle: float) -> None:
    """Section 4: G minimises (D(G(x)) - 1)^2 + 10 cycle; D half of (D(y) - 1)^2 + D(G(x))^2 (section 7.1)."""
    torch.manual_seed(0)
    config = dict(
        size=16,
        in_channels=1,
        out_channels=3,
        base_channels=4,
        blocks=1,
        n_layers_d=1,
        crop_jitter=1.0,
        image_pool_size=0,
        cycle_weight=cycle,
    )
    gan = CycleGAN(CycleGAN.Config(**config))
    a = (torch.rand(2, 1, 16, 8) * 2 - 1).repeat(1, 1, 1, 2)
    a, b = (torch.cat([half, half.flip(3)], 3)[..., :16] for half in (a[..., :8], torch.rand(2, 3, 16, 8) * 2 - 1))
    update = Seen(gan.optimizers(), Ranks("cpu"))
    gan.step({"a": a, "b": b}, update)  # mirrored at random, which changes nothing of pictures that are symmetric

    with torch.no_grad():
        made_b, made_a = gan.to_b(a), gan.to_a(b)
        g = sum((judge(made) - 1).square().mean() for judge, made in ((gan.judge_b, made_b), (gan.judge_a, made_a)))
        back = (gan.to_a(made_b) - a).abs().mean() + (gan.to_b(made_a) - b).abs().mean()
        d = sum(
            ((judge(real) - 1).square().mean() + judge(made).square().mean()) / 2
            for judge, real, made in ((gan.judge_b, b, made_b), (gan.judge_a, a, made_a))
        )
    assert update.losses["generators"] == pytest.approx(float(g + cycle * back), rel=1e-4)
    assert update.losses["discriminators"] == pytest.approx(float(d), rel=1e-4)
