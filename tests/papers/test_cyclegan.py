"""What is particular to CycleGAN: the losses of its generators and discriminators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import reverie
from reverie.core.update import Update
from reverie.media import Photo
from reverie.methods.cyclegan import CycleGAN, moved_alike
from reverie.nn.patch_nce import PatchNCE
from reverie.nn.resnet_generator import ResidualGenerator, ResNetGenerator, tile_overlap
from reverie.transforms.tiling import apply_tiled
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


def test_patches_are_compared_with_the_same_place_of_the_input() -> None:
    """Park 2020, eq. 3: a softmax over the places of a map, of cosines divided by .07."""
    torch.manual_seed(0)
    nce = PatchNCE([3, 5])
    translated, source = ([torch.randn(2, d, 4, 3) for d in (3, 5)] for _ in range(2))
    loss = nce(translated, source)
    expected = []
    for head, query, key in zip(nce.heads, translated, source, strict=True):
        for q, k in zip(query, key, strict=True):
            q, k = (F.normalize(head(x.flatten(1).T), dim=1) for x in (q, k))
            expected.append(-(q @ k.T / 0.07).log_softmax(1).diagonal().mean())
    assert float(loss.detach()) == pytest.approx(float(torch.stack(expected).mean().detach()), rel=1e-4)
    assert nce(source, source) < loss


@pytest.mark.parametrize(("network", "border"), [("resnet", 3), ("residual", 0)])
@pytest.mark.parametrize("blocks", [0, 1, 6])
def test_the_encoder_is_the_generator_up_to_its_blocks(network: str, border: int, blocks: int) -> None:
    config = CycleGAN.Config(
        size=16, in_channels=3, out_channels=3, base_channels=4, blocks=blocks, n_layers_d=1, network=network
    )
    generator = CycleGAN(config).generator_ab
    maps = generator.encode(torch.randn(1, 3, 32, 32))
    assert [x.shape[1] for x in maps] == list(generator.encoder_channels)
    assert [x.shape[3] for x in maps] == [32 + 2 * border, 16, 8, *[8] * min(2, blocks)]


def test_what_a_residual_generator_does_to_crops_and_tiles_it_does_to_whole_images() -> None:
    torch.manual_seed(0)
    net = ResidualGenerator(1, 2, 4).double()
    x = torch.rand(1, 1, 320, 300, dtype=torch.double) * 2 - 1
    with torch.no_grad():
        assert torch.equal(net(x), x)
        for parameter in net.parameters():
            parameter.normal_(0, 0.2)
        whole = net(x)
        assert (whole - x).abs().mean() > 0.1
        assert torch.allclose(apply_tiled(net, x, 264, tile_overlap(4), 4, 16), whole, atol=1e-8)
        assert torch.allclose(net(x[..., 100:228, 100:228])[..., 60:68, 60:68], whole[..., 160:168, 160:168], atol=1e-8)


def test_an_image_and_what_is_made_of_it_are_moved_alike() -> None:
    x, y = (torch.rand(3, c, 16, 16).requires_grad_() for c in (1, 3))
    moved = [moved_alike(x, x.expand(-1, 3, -1, -1) * 2) for _ in range(8)]
    assert all(torch.equal(2 * a, b[:, :1]) for a, b in moved)
    assert not all(torch.equal(a, x) for a, _ in moved)
    a, b = moved_alike(x, y)
    assert not a.requires_grad
    assert torch.autograd.grad(b.sum(), y)[0].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_compared_where_both_domains_have_them(channels: int) -> None:
    config = CycleGAN.Config(
        size=64, in_channels=3, out_channels=channels, base_channels=4, blocks=1, n_layers_d=1, colour_weight=5.0
    )
    gan = CycleGAN(config)
    x = torch.rand(2, 3, 64, 64)
    texture = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).repeat(32, 32)  # of the same mean colours
    loss = gan.colour_loss((x, x + 0.1), (x, x + texture))
    assert float(loss) == pytest.approx(5 * 0.1 if channels == 3 else 0.0, abs=1e-5)


@pytest.mark.parametrize("blocks", [6, 9])
def test_tiles_overlap_as_far_as_the_network_sees(blocks: int) -> None:
    """Nothing beyond the overlap changes a pixel: there a tile ends, and its layers pad by mirroring."""
    torch.manual_seed(0)
    net = ResNetGenerator(1, 1, 2, blocks, upsampling="resize").double()
    layers = torch.nn.Sequential(*(torch.nn.Identity() if "Norm" in type(m).__name__ else m for m in net))
    for block in layers:
        if hasattr(block, "layers"):
            block.layers = torch.nn.Sequential(*(m for m in block.layers if "Norm" not in type(m).__name__))
    for parameter in layers.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    x = torch.rand(1, 1, 256, 256, dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(layers(x)[0, 0, 128, 128], x)
    (rows,) = slope[0, 0].abs().sum(1).nonzero(as_tuple=True)
    reach = int((rows - 128).abs().max())
    assert reach <= tile_overlap(blocks) <= reach + 16


@pytest.mark.parametrize(
    "options",
    [
        dict(discriminator="both", loss="hinge"),
        dict(discriminator="both", objective="cut", identity_weight=1.0, image_pool_size=0),
        dict(discriminator="features", objective="cut", network="residual", size=32, crop_size=16, ema_decay=0.5),
        dict(discriminator="auto", objective="cut", adv_weight=0.0),
        dict(objective="cut", network="residual"),
    ],
)
def test_other_discriminators_and_objectives_translate_both_ways(tmp_path: Path, options: dict[str, Any]) -> None:
    run = tmp_path / "run"
    method = reverie.train("cyclegan:smoke", data="shapes:8,shapes:6", out=run, steps=2, threads=1, **options)
    assert method.config.discriminator in (options.get("discriminator", "pixels"), "both")
    assert bool(method.config.feature_network) == ("discriminator" in options)
    assert method.config.crop_size == 16
    photo = Photo(np.zeros((20, 24, 3), np.uint8), name="x")
    for to in "ab":
        (there,) = method.translate([photo], to=to)
        (back,) = method.cycle([photo], to=to)
        assert there.pixels.shape == back.pixels.shape == photo.pixels.shape
    scores = reverie.evaluate(run, "shapes:40,shapes:40", n=4)
    assert {score.reference.size for score in scores} == {options.get("size", 16)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(cycle_weight=0.0, adv_weight=0.0), "nothing to train for"),
        (dict(objective="cut", nce_weight=0.0, adv_weight=0.0), "nothing to train for"),
        (dict(objective="gan"), "objective"),
        (dict(crop_size=18), "crop_size"),
        (dict(nce_weight=-1.0), "nce_weight"),
        (dict(feature_network="0" * 16), "there is no ImageNet network"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(reverie.UserError, match=message) as found:
        reverie.train("cyclegan:smoke", data="shapes:8,shapes:8", out=tmp_path / "run", **options)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()
