"""What is particular to BiGAN and ALI: pairs, both encoders, both priors, and the grid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import grid

from reverie.core.lr_schedules import late_exponential
from reverie.core.options import build
from reverie.core.update import Update
from reverie.media import Image
from reverie.methods.bigan import BiGAN
from reverie.nn import losses
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError

KINDS = [
    dict(),
    dict(encoder="stochastic"),
    dict(network="mlp", size=10, prior="uniform"),
    dict(network="mlp", size=10, encoder="stochastic", loss="relativistic", norm="none", r1_weight=0.1),
    dict(loss="relativistic", norm="none", r1_weight=0.1),
    dict(prior="sphere", cycle_weight=1.0, latent_weight=1.0, upsampling="resize"),
    dict(prior="sphere", latent_weight=1.0, encoder="stochastic", loss="hinge", norm="none", r1_weight=0.1),
]


def model(**options: Any) -> BiGAN:
    torch.manual_seed(0)
    config = dict(size=16, channels=1, base_channels=8, latent_dim=6, hidden_dim=16)
    return BiGAN(build(BiGAN.Config, {**config, **options}))


@pytest.mark.parametrize("options", KINDS, ids=lambda o: "-".join(map(str, o.values())))
def test_every_kind_trains_all_its_networks_and_has_all_verbs(options: dict[str, Any]) -> None:
    gan = model(**options)
    side, update = gan.config.size, Update(gan.optimizers(), Ranks("cpu"))
    before = {k: v.clone() for k, v in gan.state_dict().items()}
    for update.step in range(2):
        metrics = gan.step({"image": torch.rand(8, 1, side, side) * 2 - 1}, update)
    assert all(torch.isfinite(value) for value in metrics.values())
    cycles = [f"loss_{name}" for name in ("cycle", "latent") if f"{name}_weight" in options]
    assert list(metrics) == ["loss_d", "loss_g", *cycles, "active_units", "d_auc", "nn_distance_ratio"]
    changed = {k.split(".")[0] for k, v in gan.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"generator", "encoder", "discriminator"}
    gan.eval()
    given = [Image(np.full((side, side, 1), 50 * i, np.uint8)) for i in (1, 2, 3)]
    assert gan.generate(n=3)[2].pixels.shape == (side, side, 1)
    assert len(gan.reconstruct(given)) == 3
    assert gan.encode(given)[0].values.shape == (6,)
    assert np.array_equal(gan.interpolate(given, frames=3)[2].pixels, gan.reconstruct(given)[1].pixels)
    assert len(gan.edit(given, frames=5)) == 15


def test_a_stochastic_encoder_draws_in_training_and_gives_the_mean_to_users() -> None:
    gan, x = model(encoder="stochastic").eval(), torch.rand(4, 1, 16, 16) * 2 - 1
    drawn = torch.stack([gan.sample_posterior(x) for _ in range(2000)])
    mean, log_variance = gan.encoder(x).chunk(2, 1)
    assert torch.equal(gan.code(x), mean)
    assert torch.allclose(drawn.mean(0), mean, atol=0.15)
    assert torch.allclose(drawn.var(0), log_variance.exp(), rtol=0.2)
    plain = model().eval()
    assert torch.equal(plain.sample_posterior(x), plain.code(x))


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_generate_draws_from_the_prior_that_was_trained_with(prior: str) -> None:
    gan = model(prior=prior)
    torch.manual_seed(0)
    for z in (gan.sample_prior(5000), gan.latents(0)(range(5000))):
        inside = (z.abs() < 0.5).double().mean()
        assert float(inside) == pytest.approx(0.5 if prior == "uniform" else math.erf(0.5 / 2**0.5), abs=0.02)
        assert float(z.abs().max()) > 0.99
        assert prior == "normal" or float(z.abs().max()) <= 1


@pytest.mark.parametrize("encoder", ["deterministic", "stochastic"])
def test_on_a_sphere_all_codes_are_equally_far_from_0(encoder: str) -> None:
    gan, x = model(prior="sphere", encoder=encoder), torch.rand(5, 1, 16, 16) * 2 - 1
    given = [Image(np.full((16, 16, 1), 80, np.uint8))]
    codes = [gan.sample_prior(5), gan.latents(0)(range(5)), gan.sample_posterior(x), gan.code(x)]
    codes.append(torch.tensor(gan.eval().encode(given)[0].values)[None])
    for z in codes:
        assert torch.allclose(z.norm(dim=1), torch.tensor(6.0).sqrt().expand(len(z)), atol=1e-5)


def test_codes_of_generated_images_come_nearer_to_what_they_were_made_from() -> None:
    gan, x = model(prior="sphere", latent_weight=10.0, lr=2e-3), torch.rand(16, 1, 16, 16) * 2 - 1
    update, found = Update(gan.optimizers(), Ranks("cpu")), []
    for update.step in range(30):
        found.append(float(gan.step({"image": x}, update)["loss_latent"]))
    assert np.mean(found[-5:]) < 0.8 * np.mean(found[:5])


def test_the_cycle_of_images_holds_reconstructions_near_them() -> None:
    """The same images, seed and steps, with and without it."""
    torch.manual_seed(1)
    x, errors = torch.rand(16, 1, 1, 1).expand(16, 1, 16, 16) * 2 - 1, []
    for weight in (0.0, 10.0):
        gan = model(prior="sphere", cycle_weight=weight, lr=2e-3)
        update = Update(gan.optimizers(), Ranks("cpu"))
        for update.step in range(30):
            gan.step({"image": x}, update)
        errors.append(float(gan.distance(x, gan.generator(gan.code(x))).detach()))
    assert errors[1] < 0.7 * errors[0]


def test_generator_and_encoder_minimise_the_loss_of_the_opposite_labels() -> None:
    """Donahue 2016, section 3."""
    gan, x = model().eval(), torch.rand(4, 1, 16, 16) * 2 - 1

    class Gradients(Update):
        def __call__(self, which: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            self.found = torch.autograd.grad(
                which["generator_encoder"], self.parameters["generator_encoder"], retain_graph=True
            )
            return torch.zeros(())

    update = Gradients(gan.optimizers(), Ranks("cpu"))
    torch.manual_seed(3)
    gan.step({"image": x}, update)
    torch.manual_seed(3)
    z = gan.sample_prior(4)
    real, fake = gan.discriminator(x, gan.code(x)), gan.discriminator(gan.generator(z), z)
    swapped = losses.nonsaturating().discriminator(fake, real)
    wanted = torch.autograd.grad(swapped, update.parameters["generator_encoder"])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(update.found, wanted, strict=True))


def test_the_penalty_is_of_the_whole_pair() -> None:
    x, z = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    logits = (x * torch.tensor([1.0, 2.0, 0.0])).sum(1) + (z * 3).sum(1)
    assert float(losses.zero_centred_penalty(logits, x, z)) == pytest.approx(0.5 * (1 + 4 + 9 + 9))
    assert float(losses.zero_centred_penalty(logits, x)) == pytest.approx(0.5 * 5)


def test_the_paper_s_schedule() -> None:
    assert [late_exponential(progress) for progress in (0, 0.25, 0.5)] == [1, 1, 1]
    assert late_exponential(0.75) == pytest.approx(0.1)
    assert late_exponential(1.0) == pytest.approx(0.01)


@pytest.mark.parametrize("preset", ["plain", "ali"])
def test_the_grid_takes_pairs(preset: str, tmp_path: Path) -> None:
    result, points = grid.grid(f"bigan:{preset}", dict(steps=3, batch_size=8), [0], tmp_path)
    assert points[0].shape == (grid.SAMPLES, 2)
    assert result["summary"]["modes"]["real"] == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=20), "power of two from 16"), (dict(r1_weight=1.0), "norm none"), (dict(lr=0.0), "above 0"),
        (dict(weight_decay=-1.0), "0 or more"), (dict(beta1=1.0), "below 1"), (dict(hidden_dim=0), "1 or more"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model(**options)
