"""Networks and transforms of image translation, against closed forms and other programs."""

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
from reverie.nn.denoiser import Denoiser, FFDNet
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
from reverie.transforms.noise_estimation import estimate_sigma, seems_correlated
from reverie.transforms.tiling import apply_padded, apply_tiled


def smooth(b: int, c: int, h: int, w: int) -> torch.Tensor:
    torch.manual_seed(b + h)
    return nn.functional.interpolate(torch.rand(b, c, 6, 6) * 2 - 1, (h, w), mode="bicubic").clamp(-1, 1)


def test_the_networks_of_the_papers() -> None:
    """Numbers of parameters, and the receptive field of a logit, as in the papers' code."""
    assert sum(p.numel() for p in UNet(3, 3, 64, 8).parameters()) == 54_413_955
    assert sum(p.numel() for p in ResNetGenerator(3, 3, 64, 9).parameters()) == 11_378_179
    assert sum(p.numel() for p in PatchGAN(6, 64).parameters()) == 2_768_705
    x = torch.zeros(1, 3, 160, 160, requires_grad=True)
    discriminator = PatchGAN(3, 4, norm="instance").eval()
    for part in discriminator.modules():
        if isinstance(part, nn.InstanceNorm2d):
            part.forward = lambda t: t
    discriminator(x)[0, 0, 9, 9].backward()
    assert x.grad is not None
    assert int(x.grad.abs().sum((0, 1, 3)).count_nonzero()) == 70


@pytest.mark.parametrize("size", [(1, 1), (5, 30), (40, 70), (64, 64)])
def test_any_size_is_padded_and_cropped_back(size: tuple[int, int]) -> None:
    net = UNet(3, 1, 4, 4).eval()
    assert apply_padded(net, torch.rand(1, 3, *size), 16).shape == (1, 1, *size)


def randomised(net: nn.Module, low: float, high: float) -> nn.Module:
    """The network with weights from `low` to `high`, so that every pixel that may matter does."""
    torch.manual_seed(0)
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.uniform_(part.weight, low, high)
    return net.eval()


RESTORERS = {
    "residual": lambda noise_map=False: Denoiser(1, 1, 4, 2, noise_map),
    "ffdnet": lambda noise_map=False: FFDNet(1, 1, 4, 5, noise_map),
}


@pytest.mark.parametrize("name", RESTORERS)
@pytest.mark.parametrize("blend", [0, None])
def test_tiles_of_a_small_receptive_field_change_nothing(name: str, blend: int | None) -> None:
    net = randomised(RESTORERS[name](), -0.5, 0.5)
    x = smooth(1, 1, 203, 331)
    with torch.no_grad():
        at_once = apply_padded(net, x, 2)
        cut = apply_tiled(net, x, 64, net.receptive_radius, 2, blend=blend)
        short = apply_tiled(net, x, 64, net.receptive_radius - 6, 2, blend=0)
    assert at_once.std() > 0.01
    assert (at_once - cut).abs().max() <= 1e-4 * at_once.abs().max()
    assert (at_once - short).abs().max() > 1e-4 * at_once.abs().max()


def test_tiles_of_label_maps_are_not_blended() -> None:
    """Where two tiles differ, each pixel has the label of one of them; that of the tile in whose middle it lies."""
    x = torch.zeros(1, 1, 100, 150)
    numbers = iter(range(1, 100))
    y = apply_tiled(lambda part: torch.full_like(part, next(numbers)), x, 64, 8, 2, to_labels=True)
    labels = y.unique().tolist()
    assert len(labels) > 4
    assert all(label == int(label) > 0 for label in labels)
    assert y[0, 0, 0, 0] == 1
    ramp = apply_tiled(lambda part: part, torch.arange(150.0).expand(1, 1, 100, 150), 64, 8, 2, to_labels=True)
    assert torch.equal(ramp, torch.arange(150.0).expand(1, 1, 100, 150))


@pytest.mark.parametrize("name", RESTORERS)
def test_the_receptive_radius(name: str) -> None:
    net = randomised(RESTORERS[name](), 0.1, 1)
    x = torch.rand(1, 1, 64, 64, requires_grad=True)
    reached = set()
    for i in (32, 33):  # of the two pixels that are the channels of one
        (gradient,) = torch.autograd.grad(net(x)[0, 0, i, i], x)
        rows = gradient[0, 0].abs().sum(1).nonzero().flatten()
        reached |= {i - int(rows.min()), int(rows.max()) - i}
    assert max(reached) == net.receptive_radius


@pytest.mark.parametrize("name", RESTORERS)
def test_the_noise_map_tells_the_noise_of_each_image(name: str) -> None:
    net = randomised(RESTORERS[name](noise_map=True), -0.5, 0.5)
    x, sigma = smooth(2, 1, 16, 16), torch.tensor([0.0, 0.3]).view(2, 1, 1, 1)
    with torch.no_grad():
        together = net(x, sigma)
        alone = torch.cat([net(x[i : i + 1], sigma[i : i + 1]) for i in range(2)])
        assert torch.allclose(together, alone, atol=1e-5)
        assert not torch.allclose(together, net(x, sigma.flip(0)), atol=1e-3)


@pytest.mark.parametrize(("channels", "sigma"), [(1, 10.0), (3, 25.0), (1, 40.0)])
def test_the_sigma_of_noise_is_estimated(channels: int, sigma: float) -> None:
    torch.manual_seed(0)
    clean = smooth(1, channels, 200, 300) * 0.5
    assert estimate_sigma(clean) < 1
    noisy = clean + torch.randn_like(clean) * (sigma / 127.5)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.05)
    noisy[:, :, 80:] = 1.0  # most of the photo is clipped white, which says nothing
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.1)
    dark = clean.clone()
    dark[:, :, :150] = -0.97  # where noise is clipped, it is weaker
    noisy = (dark + torch.randn_like(dark) * (sigma / 127.5)).clamp(-1, 1)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.05)


def test_noise_of_coarse_grain_is_distinguished_from_white_noise() -> None:
    torch.manual_seed(0)
    clean = smooth(1, 3, 200, 300) * 0.5
    white = torch.randn_like(clean)
    coarse = torch.nn.functional.avg_pool2d(white, 3, 1, 1)
    coarse = coarse / coarse.std()
    assert not seems_correlated(clean)
    assert not seems_correlated(clean + white * 15 / 127.5)
    assert seems_correlated(clean + coarse * 15 / 127.5)


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (64, 2)])
def test_flat_and_tiny_images_have_no_noise(size: tuple[int, int]) -> None:
    flat = torch.full((1, 3, *size), 200 / 127.5 - 1)
    assert estimate_sigma(flat) == 0
    assert not seems_correlated(flat)


def test_stochastic_eval_leaves_no_trace() -> None:
    torch.manual_seed(0)
    net = UNet(3, 3, 8, 6).train()
    net(torch.rand(4, 3, 64, 64))
    net.eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    x, state = torch.rand(1, 3, 64, 64), torch.random.get_rng_state()
    with torch.no_grad():
        deterministic = net(x)
        outputs = []
        for seed in (1, 1, 2):
            with stochastic_eval(net, seed):
                outputs.append(net(x))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], deterministic)
    assert torch.equal(net(x), deterministic)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(part.training for part in net.modules())


def test_the_image_pool_returns_older_images_half_of_the_time() -> None:
    torch.manual_seed(0)
    pool, older, previous = ImagePool(10, 1, 1, 1), 0, set[float]()
    for step in range(400):
        given = torch.full((1, 1, 1, 1), float(step))
        back = float(pool(given))
        assert back == step or back in previous
        assert step >= 10 or back == step
        older += back != step
        previous.add(float(step))
    assert 150 < older < 240
    assert torch.equal(ImagePool(0, 1, 1, 1)(torch.ones(2, 1, 1, 1)), torch.ones(2, 1, 1, 1))


def test_paired_crops_and_flips_are_the_same() -> None:
    torch.manual_seed(0)
    x = torch.arange(2 * 9 * 9).float().view(2, 1, 9, 9)
    a, b = paired_random_flip(paired_random_crop([x, 2 * x], 6))
    assert a.shape == (2, 1, 6, 6)
    assert torch.equal(2 * a, b)


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(
    "network", [partial(UNet, 3, 3, 8, 4), partial(ResNetGenerator, 3, 3, 8, 1)], ids=["unet", "resnet"]
)
def test_checkerboard_artefacts_of_transposed_convolutions(network: Callable[..., nn.Module], upsampling: str) -> None:
    """Of constant feature maps, nearest-neighbour upsampling gives a constant; transposed convolutions give a grid."""
    net = network(upsampling=upsampling).eval()
    assert net(torch.randn(2, 3, 48, 32)).shape == (2, 3, 48, 32)
    up = net.ups[0] if isinstance(net, UNet) else net.get_submodule("14")
    y = up(torch.ones(1, 16, 32, 32))[:, :, 8:-8, 8:-8]
    assert y.shape[2:] == (48, 48)
    assert (y.std((2, 3)).max() < 1e-5) == (upsampling == "resize")


def test_transfer_colour_keeps_the_brightness() -> None:
    x, y = torch.rand(2, 1, 8, 9) * 2 - 1, torch.randn(2, 3, 8, 9)
    x[0, 0, 0, :2] = torch.tensor([-1.0, 1.0])  # black and white have no room for colour
    z = transfer_colour(x, y)
    assert torch.allclose(grey(z), x, atol=1e-5)
    assert z.abs().max() <= 1 + 1e-6
    assert z[0, :, 0, :2].std(0).max() < 1e-6
    within = torch.rand(2, 3, 8, 9) * 2 - 1
    assert torch.allclose(transfer_colour(grey(within), within), within, atol=1e-5)


def test_every_degradation_by_its_name() -> None:
    x = smooth(2, 3, 40, 56)
    for name in get_args(DegradationName):
        y = apply_degradation_seeded(x, name, None, 3)
        assert y.shape == (2, degraded_channels(name, 3), 40, 56)
        assert torch.equal(y, apply_degradation_seeded(x, name, None, 3))
        assert y.abs().max() <= 1
        assert name == "grey" or not torch.equal(y.expand(-1, 3, -1, -1), x)
        assert apply_degradation(smooth(1, 1, 5, 3), name).shape == (1, 1, 5, 3)
        levels = (apply_degradation(x.sign(), name) + 1) * 127.5  # whole grey levels, as in files
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert levels.min() > -1e-3
        assert levels.max() < 255 + 1e-3
    for cls, different in ((Pix2Pix, {""}), (Restoration, {"grey"})):  # lost colour is for colorization
        option = next(o for o in options_of_dataclass(cls.Config) if o.name == "degradation")
        assert set(get_args(option.type)) ^ set(DEGRADATIONS) == different


@pytest.mark.parametrize("quality", [20, 40, 90])
def test_jpeg_agrees_with_pillow(quality: int) -> None:
    x = smooth(1, 3, 45, 70)
    pixels = ((x[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    theirs = np.asarray(PIL.Image.open(file)).astype(float)
    ours = ((jpeg(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1, quality)[0] + 1) * 127.5).numpy()
    rmse = np.sqrt(((ours.transpose(1, 2, 0) - theirs) ** 2).mean())
    assert rmse < 2.5


def test_blur_keeps_the_mean_and_edges_stand_at_steps() -> None:
    x = torch.full((1, 1, 20, 20), -0.5)
    x[..., 10:] = 0.5
    assert blur(torch.full((1, 1, 9, 9), 0.3), 2.0).allclose(torch.tensor(0.3))
    lines = edges(x, 0.06) < 0
    assert lines.any(3).all()
    columns = lines.any(2).nonzero()[:, -1]
    assert columns.min() >= 9
    assert columns.max() <= 10
