"""The parts of translations: networks, tiles, degradations, the pool, against closed forms and other programs."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from reverie.core.options import options_of_dataclass
from reverie.methods.pix2pix import Pix2Pix
from reverie.methods.restoration import Restoration
from reverie.nn.denoiser import Denoiser
from reverie.nn.image_pool import ImagePool
from reverie.nn.patchgan import PatchGAN
from reverie.nn.resnet_generator import ResNetGenerator
from reverie.nn.stochastic_eval import stochastic_eval
from reverie.nn.unet import UNet
from reverie.transforms.augment import paired_random_crop, paired_random_flip
from reverie.transforms.degradations import (
    DEGRADATIONS,
    DegradationName,
    apply_degradation,
    apply_degradation_seeded,
    blur,
    degraded_channels,
    edges,
    grey,
    jpeg,
    transfer_colour,
)
from reverie.transforms.tiling import apply_padded, apply_tiled


def smooth(b: int, c: int, h: int, w: int) -> torch.Tensor:
    torch.manual_seed(b + h)
    return nn.functional.interpolate(torch.rand(b, c, 6, 6) * 2 - 1, (h, w), mode="bicubic").clamp(-1, 1)


def test_the_networks_of_the_papers() -> None:
    """Parameters, and the pixels that a logit looks at, as the papers' code has them."""
    assert sum(p.numel() for p in UNet(3, 3, 64, 8).parameters()) == 54_413_955
    assert sum(p.numel() for p in ResNetGenerator(3, 3, 64, 9).parameters()) == 11_378_179
    assert sum(p.numel() for p in PatchGAN(6, 64).parameters()) == 2_768_705
    x = torch.zeros(1, 3, 160, 160, requires_grad=True)
    judge = PatchGAN(3, 4, norm="instance").eval()
    for part in judge.modules():
        if isinstance(part, nn.InstanceNorm2d):
            part.forward = lambda t: t
    judge(x)[0, 0, 9, 9].backward()
    assert x.grad is not None
    assert int(x.grad.abs().sum((0, 1, 3)).count_nonzero()) == 70


@pytest.mark.parametrize("size", [(1, 1), (5, 30), (40, 70), (64, 64)])
def test_any_size_comes_back_to_the_pixel(size: tuple[int, int]) -> None:
    net = UNet(3, 1, 4, 4).eval()
    assert apply_padded(net, torch.rand(1, 3, *size), 16).shape == (1, 1, *size)


def test_tiles_change_nothing_where_the_reach_is_short() -> None:
    torch.manual_seed(0)
    net = Denoiser(1, 1, 8, 4).eval()
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, 0, 0.3)
        x = smooth(1, 1, 203, 331)
        at_once, cut = apply_padded(net, x, 2), apply_tiled(net, x, 64, net.receptive_radius, 2)
    assert at_once.std() > 0.1
    assert (at_once - cut).abs().max() <= 1e-4


def test_the_reach_is_what_it_says() -> None:
    torch.manual_seed(0)
    net = Denoiser(1, 1, 4, 5).eval()
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.uniform_(part.weight, 0.1, 1)
    x = torch.rand(1, 1, 64, 64, requires_grad=True)
    net(x)[0, 0, 32, 32].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert 32 - net.receptive_radius <= int(rows.min())
    assert int(rows.max()) <= 32 + net.receptive_radius


def test_as_in_training_leaves_no_trace() -> None:
    torch.manual_seed(0)
    net = UNet(3, 3, 8, 6).train()
    net(torch.rand(4, 3, 64, 64))
    net.eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    x, state = torch.rand(1, 3, 64, 64), torch.random.get_rng_state()
    with torch.no_grad():
        still = net(x)
        made = []
        for seed in (1, 1, 2):
            with stochastic_eval(net, seed):
                made.append(net(x))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert not torch.equal(made[0], still)
    assert torch.equal(net(x), still)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(part.training for part in net.modules())


def test_the_pool_gives_half_of_its_images_back_later() -> None:
    torch.manual_seed(0)
    pool, older, seen = ImagePool(10, 1, 1, 1), 0, set[float]()
    for step in range(400):
        given = torch.full((1, 1, 1, 1), float(step))
        back = float(pool(given))
        assert back == step or back in seen
        assert step >= 10 or back == step
        older += back != step
        seen.add(float(step))
    assert 150 < older < 240
    assert torch.equal(ImagePool(0, 1, 1, 1)(torch.ones(2, 1, 1, 1)), torch.ones(2, 1, 1, 1))


def test_sides_are_cut_and_mirrored_alike() -> None:
    torch.manual_seed(0)
    x = torch.arange(2 * 9 * 9).float().view(2, 1, 9, 9)
    a, b = paired_random_flip(paired_random_crop([x, 2 * x], 6))
    assert a.shape == (2, 1, 6, 6)
    assert torch.equal(2 * a, b)


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(
    "network", [partial(UNet, 3, 3, 8, 4), partial(ResNetGenerator, 3, 3, 8, 1)], ids=["unet", "resnet"]
)
def test_the_grid_that_a_generator_lays(network: Callable[..., nn.Module], upsampling: str) -> None:
    """Of maps that are all alike, repeated pixels make nothing with a grid in it; transposed convolutions do."""
    net = network(upsampling=upsampling).eval()
    assert net(torch.randn(2, 3, 48, 32)).shape == (2, 3, 48, 32)
    up = net.ups[0] if isinstance(net, UNet) else net.get_submodule("14")
    made = up(torch.ones(1, 16, 32, 32))[:, :, 8:-8, 8:-8]
    assert made.shape[2:] == (48, 48)
    assert (made.std((2, 3)).max() < 1e-5) == (upsampling == "resize")


def test_what_is_coloured_keeps_its_light() -> None:
    x, y = torch.rand(2, 1, 8, 9) * 2 - 1, torch.randn(2, 3, 8, 9)
    x[0, 0, 0, :2] = torch.tensor([-1.0, 1.0])  # black and white have no room for colour
    made = transfer_colour(x, y)
    assert torch.allclose(grey(made), x, atol=1e-5)
    assert made.abs().max() <= 1 + 1e-6
    assert made[0, :, 0, :2].std(0).max() < 1e-6
    within = torch.rand(2, 3, 8, 9) * 2 - 1
    assert torch.allclose(transfer_colour(grey(within), within), within, atol=1e-5)


def test_every_degradation_by_its_name() -> None:
    x = smooth(2, 3, 40, 56)
    for make in get_args(DegradationName):
        made = apply_degradation_seeded(x, make, None, 3)
        assert made.shape == (2, degraded_channels(make, 3), 40, 56)
        assert torch.equal(made, apply_degradation_seeded(x, make, None, 3))
        assert made.abs().max() <= 1
        assert make == "grey" or not torch.equal(made.expand(-1, 3, -1, -1), x)
        assert apply_degradation(smooth(1, 1, 5, 3), make).shape == (1, 1, 5, 3)
        levels = (apply_degradation(x.sign(), make) + 1) * 127.5  # nothing is learnt from that no file holds
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert levels.min() > -1e-3
        assert levels.max() < 255 + 1e-3
    for cls in (Pix2Pix, Restoration):
        told = next(o for o in options_of_dataclass(cls.Config) if o.name == "degradation")
        assert set(get_args(told.type)) - {""} == set(DEGRADATIONS)


@pytest.mark.parametrize("quality", [20, 40, 90])
def test_jpeg_is_as_a_codec_makes_it(quality: int) -> None:
    x = smooth(1, 3, 45, 70)
    pixels = ((x[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    held = io.BytesIO()
    PIL.Image.fromarray(pixels).save(held, "JPEG", quality=quality, subsampling="4:2:0")
    theirs = np.asarray(PIL.Image.open(held)).astype(float)
    ours = ((jpeg(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1, quality)[0] + 1) * 127.5).numpy()
    apart = np.sqrt(((ours.transpose(1, 2, 0) - theirs) ** 2).mean())
    assert apart < 2.5


def test_blur_keeps_the_mean_and_edges_stand_at_steps() -> None:
    x = torch.full((1, 1, 20, 20), -0.5)
    x[..., 10:] = 0.5
    assert blur(torch.full((1, 1, 9, 9), 0.3), 2.0).allclose(torch.tensor(0.3))
    lines = edges(x, 0.06) < 0
    assert lines.any(3).all()
    columns = lines.any(2).nonzero()[:, -1]
    assert columns.min() >= 9
    assert columns.max() <= 10
