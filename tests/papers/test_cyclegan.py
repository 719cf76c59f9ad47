"""What is particular to CycleGAN: the losses of its generators and discriminators."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from reverie.core.update import Update
from reverie.methods.cyclegan import CycleGAN
from reverie.utils.distributed import Ranks


class RecordedLosses(Update):
    """Records each loss, and updates nothing."""

    def __call__(self, which: Any, loss: Any = None, clip: Any = None) -> torch.Tensor:
        self.losses = {**getattr(self, "losses", {}), which: float(loss.detach())}
        return loss.detach()


def symmetric(channels: int) -> torch.Tensor:
    """Two images [2,C,16,16] that a horizontal flip does not change."""
    half = torch.rand(2, channels, 16, 8) * 2 - 1
    return torch.cat([half, half.flip(3)], 3)


@pytest.mark.parametrize("cycle_weight", [0.0, 10.0])
def test_the_losses_are_those_of_the_paper(cycle_weight: float) -> None:
    """Section 4: G minimises (D(G(x)) - 1)^2 + 10 cycle; D half of (D(y) - 1)^2 + D(G(x))^2 (section 7.1)."""
    torch.manual_seed(0)
    config = CycleGAN.Config(
        size=16, in_channels=1, out_channels=3, base_channels=4, blocks=1, n_layers_d=1, crop_jitter=1.0,
        image_pool_size=0, cycle_weight=cycle_weight,
    )  # fmt: skip
    gan = CycleGAN(config)
    a, b = symmetric(1), symmetric(3)
    update = RecordedLosses(gan.optimizers(), Ranks("cpu"))
    metrics = gan.step({"a": a, "b": b}, update)

    with torch.no_grad():
        fake_b, fake_a = gan.generator_ab(a), gan.generator_ba(b)
        cycle = (gan.generator_ba(fake_b) - a).abs().mean() + (gan.generator_ab(fake_a) - b).abs().mean()
        loss_g, loss_d = torch.zeros(()), torch.zeros(())
        for discriminator, real, fake in ((gan.discriminator_b, b, fake_b), (gan.discriminator_a, a, fake_a)):
            loss_g += (discriminator(fake) - 1).square().mean()
            loss_d += ((discriminator(real) - 1).square().mean() + discriminator(fake).square().mean()) / 2
    assert update.losses["generators"] == pytest.approx(float(loss_g + cycle_weight * cycle), rel=1e-4)
    assert update.losses["discriminators"] == pytest.approx(float(loss_d), rel=1e-4)
    assert list(metrics) == ["loss_d", "loss_g", "cycle", "identity", "d_auc"]
    assert float(metrics["loss_g"]) == pytest.approx(float(loss_g), rel=1e-4)
