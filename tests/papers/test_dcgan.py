"""What is particular to DCGAN: the paper's networks, its options, spherical interpolation, inversion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reverie.core.interpolation import slerp
from reverie.core.options import build
from reverie.core.update import Update
from reverie.media import Image
from reverie.methods.dcgan import DCGAN
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError


def model(**options: object) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(build(DCGAN.Config, {**dict(size=16, channels=3, base_channels=8, latent_dim=10), **options}))


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_shapes_and_ranges(size: int, norm: str) -> None:
    gan = model(size=size, norm=norm)
    x = gan.generator(torch.randn(2, 10))
    assert x.shape == (2, 3, size, size)
    assert x.abs().max() <= 1
    assert gan.discriminator(x).shape == (2,)


def test_the_paper_s_generator() -> None:
    """Figure 1: 100 -> 1024 at 4x4 -> 512 -> 256 -> 128 -> 3 at 64x64; weights N(0, 0.02) (section 4)."""
    c = DCGAN.resolve_config(
        DCGAN.Config(**{k: v for k, v in DCGAN.presets["paper"].items() if k != "batch_size"}),
        {"channels": 3, "native": 64},
    )
    gan = DCGAN(c)
    widths = [(m.in_channels, m.out_channels) for m in gan.generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert widths == [(100, 1024), (1024, 512), (512, 256), (256, 128), (128, 3)]
    for layer in gan.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    first, last = gan.discriminator.layers[1], gan.generator.layers[-1]
    assert isinstance(first, nn.LeakyReLU)  # no batch norm at D's input
    assert first.negative_slope == 0.2
    assert isinstance(last, nn.Tanh)  # nor at G's output


OPTIONS = [
    dict(loss="hinge", norm="spectral"),
    dict(loss="leastsquares"),
    dict(loss="wasserstein", norm="none", gp_weight=10.0, d_steps_per_g=3),
    dict(loss="relativistic", norm="none", r1_weight=1.0),
    dict(loss="nonsaturating", norm="spectral", r1_weight=1.0),
    dict(hflip=True, diff_augment=True),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_every_option_trains_generator_and_discriminator(options: dict[str, object]) -> None:
    gan = model(**options)
    update = Update(gan.optimizers(), Ranks("cpu"))
    before = {k: v.clone() for k, v in gan.state_dict().items()}
    metrics: list[list[str]] = []
    for update.step in range(3):
        metrics.append(list(gan.step({"image": torch.rand(6, 3, 16, 16) * 2 - 1}, update)))
    changed = {k.split(".")[0] for k, v in gan.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"generator", "discriminator"}
    d_metrics, interval = ["loss_d", "d_auc", "nn_distance_ratio"], int(str(options.get("d_steps_per_g", 1)))
    for step, names in enumerate(metrics):
        assert names == ([*d_metrics, "loss_g"] if step % interval == interval - 1 else d_metrics)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(r1_weight=1.0), "r1_weight .* norm 'batch' .* --norm spectral or none"),
        (dict(loss="wasserstein", gp_weight=10.0), "gp_weight .* norm 'batch'"),
        (dict(loss="wasserstein", norm="none"), "give --gp-weight 10"),
        (dict(loss="wasserstein", norm="none", gp_weight=10.0, r1_weight=1.0), "leave r1_weight at 0"),
        (dict(loss="hinge", norm="none", gp_weight=10.0), "gp_weight goes with loss 'wasserstein'"),
        (dict(size=20), "size is 20; .* a power of two"),
        (dict(shift=0.6), "shift is 0.6; .* from 0 to 0.5"),
        (dict(lr=0.0), "lr is 0.0; .* above 0"),
        (dict(beta1=1.0), "beta1 is 1.0; .* below 1"),
        (dict(d_steps_per_g=0), "d_steps_per_g is 0; .* 1 or more"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model(**options)


def test_penalties_by_loss() -> None:
    """R1 is of real images alone; relativistic adds R2; wasserstein has WGAN-GP. Each changes D's loss."""
    x = {"image": torch.rand(6, 3, 16, 16) * 2 - 1}
    for loss, option in (("nonsaturating", "r1_weight"), ("relativistic", "r1_weight"), ("wasserstein", "gp_weight")):
        values = []
        for weight in (1.0, 3.0, 5.0):
            gan = model(loss=loss, norm="none", **{option: weight})
            update = Update(gan.optimizers(), Ranks("cpu"))
            torch.manual_seed(1)
            values.append(float(gan.step(dict(x), update)["loss_d"]))
        assert values[1] > values[0]
        assert values[2] - values[1] == pytest.approx(values[1] - values[0], rel=1e-3)  # linear in the weight


def test_the_generator_s_loss_leaves_the_discriminator_alone_and_the_other_way_round() -> None:
    gan = model()
    update = Update(gan.optimizers(), Ranks("cpu"))
    fake = gan.generator(torch.randn(4, 10))
    d_before = [p.clone() for p in gan.discriminator.parameters()]
    update("generator", -gan.discriminator(fake).mean())
    assert all(torch.equal(a, b) for a, b in zip(d_before, gan.discriminator.parameters(), strict=True))
    assert all(p.grad is None for p in gan.discriminator.parameters())


def test_slerp_keeps_to_the_sphere_and_its_ends() -> None:
    a, b = torch.randn(2, 8, 50).double()
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    for share in (0.0, 0.3, 1.0):
        z = slerp(a, b, torch.full((8, 1), share).double())
        assert torch.allclose(z.norm(dim=1), torch.ones(8).double(), atol=1e-6)
    assert torch.allclose(slerp(a, b, torch.zeros(8, 1).double()), a)
    assert torch.allclose(slerp(a, b, torch.ones(8, 1).double()), b, atol=1e-6)


def test_interpolation_goes_between_images_of_generate() -> None:
    gan = model().eval()
    rows, images = gan.interpolate(n=2, frames=4, seed=3), gan.generate(n=4, seed=3)
    for frame, end in ((0, 0), (3, 1), (4, 2), (7, 3)):
        assert abs(rows[frame].pixels.astype(int) - images[end].pixels.astype(int)).max() <= 1


def test_inversion_finds_what_the_generator_can_make() -> None:
    torch.manual_seed(0)
    gan = model(latent_dim=3, base_channels=16)
    with torch.no_grad():  # weights of 0.02 make flat grey: larger ones give contrast
        for layer in gan.generator.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                layer.weight.mul_(6)
    targets = gan.generate(n=4, seed=5)
    found = gan.reconstruct(targets, iterations=400)
    error = [np.square(f.pixels.astype(float) - t.pixels).mean() for f, t in zip(found, targets, strict=True)]
    other = [
        np.square(f.pixels.astype(float) - t.pixels).mean() for f, t in zip(found[1:] + found[:1], targets, strict=True)
    ]
    assert np.mean(error) < 0.2 * np.mean(other)


def test_the_size_follows_the_data() -> None:
    for native, size in ((8, 16), (28, 32), (32, 32), (33, 64), (500, 64)):
        assert DCGAN.resolve_config(DCGAN.Config(), {"channels": 1, "native": native}).size == size


def test_grey_images_have_one_channel() -> None:
    image = model(channels=1).eval().generate(n=1)[0]
    assert image.pixels.shape == (16, 16, 1)
    assert isinstance(image, Image)
