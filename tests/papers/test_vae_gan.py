"""What is particular to VAE/GAN: the gradient of each network, directions of classes, tables of codes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import reverie
from reverie.cli.main import main
from reverie.core.options import build
from reverie.core.update import Update
from reverie.media import Code, Image, save_codes
from reverie.methods.vae_gan import VAEGAN
from reverie.nn import losses
from reverie.nn.feature_discriminator import FINGERPRINT
from reverie.nn.latent_directions import ClassMeans, direction_vector, principal_directions
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError

LATENT = 6


def model(**options: Any) -> VAEGAN:
    torch.manual_seed(0)
    config = dict(size=16, channels=3, base_channels=8, latent_dim=LATENT, feature_layer=1, class_names=("a", "b"))
    return VAEGAN(build(VAEGAN.Config, {**config, **options}))


def batch(n: int = 8) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(n, 3, 16, 16) * 2 - 1, "label": torch.arange(n) % 2}


class Gradients(Update):
    """Takes the gradient of each loss for its network, and changes no weights."""

    def __call__(self, which: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.found = {
            name: torch.autograd.grad(loss, self.parameters[name], retain_graph=True) for name, loss in which.items()
        }
        return torch.zeros(())


def gradients(gan: VAEGAN, x: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, ...]]:
    update = Gradients(gan.optimizers(), Ranks("cpu"))
    torch.manual_seed(1)
    gan.step(x, update)
    return update.found


def test_the_adversarial_loss_reaches_no_encoder_and_the_reconstruction_error_no_discriminator() -> None:
    """Section 3.2: each network's gradient is that of its own loss in algorithm 1."""
    x, gan = batch(), model(beta=2.0, gamma=0.5)
    found = gradients(gan, {**x})

    torch.manual_seed(1)
    mean, log_variance = gan.posterior(x["image"])
    z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    rec, fake = gan.decoder(torch.cat([z, torch.randn_like(mean)])).chunk(2)
    (d_x, features), (d_rec, features_rec), (d_fake, _) = (gan.discriminator(i) for i in (x["image"], rec, fake))
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    nll = 0.5 * ((features.detach() - features_rec) ** 2).sum((1, 2, 3)).mean()
    adversarial = losses.nonsaturating()
    g = (adversarial.generator(d_rec, None) + adversarial.generator(d_fake, None)) / 2
    d = (adversarial.discriminator(d_x, d_rec) + adversarial.discriminator(d_x, d_fake)) / 2
    for name, loss in {"encoder": 2 * kl + nll, "decoder": 0.5 * nll + g, "discriminator": d}.items():
        wanted = torch.autograd.grad(loss, list(gan.get_submodule(name).parameters()), retain_graph=True)
        for a, b in zip(found[name], wanted, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-6), name


def test_with_the_frozen_network_maps_and_pixels_are_compared_each_channel_with_a_variance_of_its_own() -> None:
    """Eq. 7 with a variance for each channel; the adversarial loss reaches no encoder, L_like no discriminator."""
    options = dict(discriminator="both", feature_network=FINGERPRINT, loss="hinge", norm="none", variance="optimal")
    x, gan = batch(), model(**options, beta=2.0, gamma=0.5)
    gan.discriminator.eval()  # so that its spectral norms stay as they are
    found = gradients(gan, {**x})

    torch.manual_seed(1)
    mean, log_variance = gan.posterior(x["image"])
    z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    rec, fake = gan.decoder(torch.cat([z, torch.randn_like(mean)])).chunk(2)
    assert gan.features is not None
    maps = [gan.features(i) for i in (x["image"], rec, fake)]
    d_x, d_rec, d_fake = (gan.discriminator(m, i) for m, i in zip(maps, (x["image"], rec, fake), strict=True))
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    nll = torch.zeros(())
    for a, b in zip([*maps[0], x["image"]], [*maps[1], rec], strict=True):
        for channel in range(a.shape[1]):
            nll = nll + a[0, 0].numel() / 2 * (a - b)[:, channel].square().mean().log()
    g = -sum((a.mean() + b.mean()) / 2 for a, b in zip(d_rec, d_fake, strict=True))
    d = sum(
        (F.relu(1 - a).mean() + F.relu(1 + b).mean() + F.relu(1 - a).mean() + F.relu(1 + c).mean()) / 2
        for a, b, c in zip(d_x, d_rec, d_fake, strict=True)
    )
    assert len(d_x) == 4
    for name, loss in {"encoder": 2 * kl + nll, "decoder": 0.5 * nll + g, "discriminator": d}.items():
        wanted = torch.autograd.grad(loss, list(gan.get_submodule(name).parameters()), retain_graph=True)
        one, other = (torch.cat([part.flatten() for part in parts]) for parts in (found[name], wanted))
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max())), name


@pytest.mark.parametrize("layer", [1, 2])
def test_images_are_compared_at_the_layer_that_is_asked_for(layer: int) -> None:
    logits, features = model(feature_layer=layer).discriminator(torch.zeros(2, 3, 16, 16))
    assert features.shape == (2, 8 * 2 ** (layer - 1), 16 // 2**layer, 16 // 2**layer)
    assert logits.shape == (2,)


def test_wrong_options_are_one_line() -> None:
    for options, message in (
        (dict(feature_layer=9), "feature_layer is 9; .* has 2 layers"),
        (dict(r1_weight=1.0), "norm none"),
        (dict(size=20), "16, 32, 64"),
        (dict(gamma=-1.0), "gamma is -1.0; .* 0 or more"),
        (dict(latent_dim=0), "latent_dim is 0; .* 1 or more"),
        (dict(ema_decay=1.0), "below 1"),
    ):
        with pytest.raises(UserError, match=message):
            model(**options)


def test_metrics_with_a_penalty() -> None:
    gan = model(loss="relativistic", norm="none", r1_weight=0.1)
    metrics = gan.step(batch(), Update(gan.optimizers(), Ranks("cpu")))
    assert all(torch.isfinite(value) for value in metrics.values())
    names = ["loss_d", "loss_g", "feature_nll", "kl", "active_units", "d_auc", "nn_distance_ratio"]
    assert list(metrics) == names
    assert set(gan.monitored) <= set(names)


def test_lazy_regularisation() -> None:
    """Every d_reg_interval steps the gradient is that of a penalty of as many times the weight, else of none."""
    options = dict(loss="relativistic", norm="none")
    found = {}
    for name, more in {
        "lazy": dict(r1_weight=0.1, d_reg_interval=4), "heavy": dict(r1_weight=0.4), "none": dict(r1_weight=0.0)
    }.items():  # fmt: skip
        gan = model(**options, **more)
        update = Gradients(gan.optimizers(), Ranks("cpu"))
        for update.step in (4, 5):
            torch.manual_seed(1)
            gan.step(batch(), update)
            found[name, update.step] = torch.cat([g.flatten() for g in update.found["discriminator"]])
    assert torch.allclose(found["lazy", 4], found["heavy", 4], rtol=1e-4)
    assert torch.allclose(found["lazy", 5], found["none", 5], rtol=1e-4)
    assert not torch.allclose(found["lazy", 4], found["none", 4], rtol=1e-2)


# -- directions of z ---------------------------------------------------------------------------------------------------


def test_class_means_are_right_for_rare_classes_too() -> None:
    means = ClassMeans(3, 2, decay=0.9)
    centres = torch.tensor([[0.0, 1.0], [5.0, 5.0], [-3.0, 0.0]])
    for step in range(200):
        labels = torch.tensor([0, 1, 0, 1] if step % 10 else [0, 1, 2, 2])
        means.update(centres[labels], labels)
    assert torch.allclose(means.means(), centres, atol=1e-4)
    assert torch.allclose(means.direction(1), centres[1] - means.sums.sum(0) / means.counts.sum(), atol=1e-5)


def test_principal_directions_are_those_that_move_the_layer_most() -> None:
    first = torch.diag(torch.tensor([1.0, 3.0, 2.0])) @ torch.linalg.qr(torch.randn(5, 3)).Q.T  # [3,5]
    found = principal_directions(first)
    assert torch.allclose(found.abs(), torch.eye(3)[[1, 2, 0]], atol=1e-5)
    assert (found.sum(1) > 0).all()


def test_edits_begin_and_end_on_either_side_of_the_reconstruction() -> None:
    gan = model().eval()
    gan.step(batch(), Update(gan.optimizers(), Ranks("cpu")))
    images = [Image(np.full((16, 16, 3), 40 * i, np.uint8), f"{i}.png") for i in (1, 2)]
    row = gan.edit(images, direction="b", frames=3, amount=2.0)
    assert len(row) == 6
    middle = gan.reconstruct(images)
    assert np.array_equal(row[1].pixels, middle[0].pixels)
    assert np.array_equal(row[4].pixels, middle[1].pixels)
    assert not np.array_equal(row[0].pixels, row[2].pixels)
    assert np.array_equal(gan.edit(images, direction="b", frames=1, amount=2.0)[1].pixels, row[5].pixels)
    assert len(gan.edit(direction="z6", n=2, frames=3)) == 6


def test_classes_whose_names_are_numbers_leave_the_directions_alone() -> None:
    """Of digits, z1 is not the class 1."""
    gan = model(class_names=("1", "2")).eval()
    assert gan.class_means is not None
    gan.class_means.update(torch.randn(4, 6), torch.tensor([0, 1, 0, 1]))
    weight = gan.decoder.first_layer_weight()
    found = {name: direction_vector(name, ("1", "2"), gan.class_means, weight) for name in ("1", "z1")}
    assert torch.equal(found["z1"], principal_directions(weight)[0])
    assert torch.allclose(found["1"], F.normalize(gan.class_means.direction(0), dim=0))
    assert np.array_equal(gan.edit(n=1)[0].pixels, gan.edit(n=1, direction="z1")[0].pixels)


@pytest.mark.parametrize("direction", ["c", "z0", "z7", "1", "z-1", "z", ""])
def test_a_direction_that_does_not_exist_is_one_line(direction: str) -> None:
    with pytest.raises(UserError, match=f"no direction '{direction}'; give one from z1 to z6; or one of"):
        model().eval().edit(direction=direction)


def test_unlabelled_data_knows_no_classes() -> None:
    gan = model(class_names=())
    assert gan.class_means is None
    gan.step({"image": batch()["image"]}, Update(gan.optimizers(), Ranks("cpu")))
    with pytest.raises(UserError, match="directions of classes it has learnt none"):
        gan.eval().edit(direction="b")


# -- codes as a table --------------------------------------------------------------------------------------------------


def test_a_table_of_codes_holds_them_exactly(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    sources = [({"name": f"{i},x.png", "digest": "d"},) for i in range(2)]
    codes = [Code(v, record={"run": "abc"}, inputs=source) for v, source in zip(values, sources, strict=True)]
    rows = list(csv.reader(save_codes(codes, tmp_path / "new" / "c.csv").open(encoding="utf-8")))
    assert rows[0] == ["file", "digest", "run", "z1", "z2", "z3"]
    assert rows[2][:3] == ["1,x.png", "d", "abc"]
    assert np.array_equal(np.array([row[3:] for row in rows[1:]], np.float32), values)


def test_codes_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, image = str(tmp_path / "run"), tmp_path / "a.png"
    reverie.train("vae_gan:smoke", data="letters:96", out=run)
    Image(np.full((20, 16, 1), 90, np.uint8)).save(image)
    assert main(["encode", run, str(image), "--out", str(tmp_path / "codes.csv")]) == 0
    assert len((tmp_path / "codes.csv").read_text().splitlines()) == 2
    for i in range(2):
        Image(np.full((20, 16, 1), 90 + i, np.uint8)).save(tmp_path / f"given/of/{i}.png")
    assert main(["edit", run, str(tmp_path / "given"), "--frames", "2", "--out", str(tmp_path / "rows")]) == 0
    names = sorted(file.name for file in (tmp_path / "rows/of").iterdir())
    assert names == ["0-000001.png", "0.png", "1-000002.png", "1-000003.png"]
    capsys.readouterr()
    for words, message in (
        (["encode", run, str(image), "--out", str(tmp_path / "folder")], "give a name ending in .csv for one file"),
        (["encode", run, str(image), "--out", str(tmp_path / "codes.csv")], "is there already"),
        (["encode", run, "--out", str(tmp_path / "x.csv")], "encode needs images"),
        (["generate", run, "-n", "2", "--out", str(tmp_path / "x.csv")], "cannot write images to"),
        (["edit", run, "--direction", "Q9", "--out", str(tmp_path / "x")], "no direction 'Q9'"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x.csv").exists()
